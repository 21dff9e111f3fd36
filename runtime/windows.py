"""Windows of tensors: the part that a rank holds, with the first values that it has in the whole tensor.

A law whose values are each a function of seed, name and position is drawn in the window alone. Others, such as
`orthogonal`, a mixture or an expression, are drawn whole, and the window is a copy of a part.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from compiler.rules.plan import Initialisation
from runtime.random import Draws

Window: TypeAlias = tuple[range, ...]
"""The positions in each dimension, without gaps."""

KEYED = frozenset(
    (
        *("uniform", "normal", "trunc_normal"),
        *("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
    )
)
"""Laws whose values depend on their position, and whose bounds depend on the shape of the whole."""
ALIKE = frozenset(("zeros", "ones", "constant"))
"""Laws that give each position the same value."""

BAND = 2**20
"""Elements that are drawn at once where a window takes a part of each row."""


class Drawing(Protocol):
    """Draws what lies from a position on, in a shape."""

    def __call__(self, start: int, shape: tuple[int, ...]) -> Tensor: ...


def whole(shape: Sequence[int]) -> Window:
    """Return the window that is all of a tensor."""
    return tuple(map(range, shape))


def check_window(window: Window, shape: Sequence[int], name: str) -> None:
    """Raise ValueError if a window does not lie in a tensor."""
    inside = len(window) == len(shape) and all(
        part.step == 1 and 0 <= part.start <= part.stop <= size
        for part, size in zip(window, shape, strict=False)
    )
    if not inside:
        raise ValueError(f"the window {window} does not lie in `{name}`, of shape {list(shape)}")


def cut(tensor: Tensor, window: Window) -> Tensor:
    """Return a view of the part of a tensor that a window has."""
    return tensor[tuple(slice(part.start, part.stop) for part in window)]


def law_in_window(made: Initialisation, registered: Container[str]) -> str | None:
    """Return the name of the law that can be drawn in a window alone, None if the whole is needed."""
    tree = made.expression.tree
    called = isinstance(tree, ast.Call)
    name = tree.func if isinstance(tree, ast.Call) else tree
    if not isinstance(name, ast.Name) or name.id in registered or (not called and name.id in made.names):
        return None
    return name.id if name.id in KEYED | ALIKE else None


@dataclass(frozen=True)
class WindowDraws(Draws):
    """The random numbers of a parameter, of which only those in a window are drawn: what is asked for is the whole."""

    window: Window = ()

    def uniform(self, shape: Sequence[int], *arguments: Any, **named: Any) -> Tensor:
        """Draw as `Draws.uniform` does; the result has the shape of the window."""
        return self._drawn(shape, lambda start, part: self._at(start).uniform(part, *arguments, **named))

    def normal(self, shape: Sequence[int], *arguments: Any, **named: Any) -> Tensor:
        """Draw as `Draws.normal` does; the result has the shape of the window."""
        return self._drawn(shape, lambda start, part: self._at(start).normal(part, *arguments, **named))

    def trunc_normal(self, shape: Sequence[int], *arguments: Any, **named: Any) -> Tensor:
        """Draw as `Draws.trunc_normal` does; the result has the shape of the window."""
        return self._drawn(shape, lambda start, part: self._at(start).trunc_normal(part, *arguments, **named))

    def _at(self, start: int) -> Draws:
        return Draws(self.seed, self.name, self.stream, self.pool, start)

    def _drawn(self, shape: Sequence[int], draw: Drawing) -> Tensor:
        return draw_window(draw, 0, tuple(shape), self.window)


def draw_window(draw: Drawing, start: int, shape: tuple[int, ...], window: Window) -> Tensor:
    """Return a window of what begins at a position.

    Rows in a band come together: a window that takes a part of each row draws the rows whole, a few at a time.
    """
    if window[1:] == whole(shape[1:]):
        row = prod(shape[1:])
        first = window[0].start * row if window else 0
        return draw(start + first, tuple(map(len, window)))
    row = prod(shape[1:])
    if row > BAND:
        rows = [draw_window(draw, start + at * row, shape[1:], window[1:]) for at in window[0]]
        return torch.stack(rows) if rows else draw(start, tuple(map(len, window)))
    step = max(1, BAND // max(row, 1))
    bands = [window[0][at : at + step] for at in range(0, len(window[0]), step)]
    parts = [
        cut(draw(start + band.start * row, (len(band), *shape[1:])), (range(len(band)), *window[1:]))
        for band in bands
    ]
    return torch.cat(parts) if parts else draw(start, tuple(map(len, window)))
