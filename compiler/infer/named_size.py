"""Sizes that are a number times named dimensions, such as `3*time`, with the example that stands for each.

They do what torch's own symbols do, where that is plain: they are multiplied, divided without a rest, and compared
with nothing. All else is refused, and torch's symbols have to be asked, which import its compiler and sympy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import torch

MAX_FORMULA = 14
"""Characters. A longer formula tells a person less than the example size."""


class UnknownSizeError(Exception):
    """A size is asked what only its value or a proof tells."""


class _Node:
    """What torch asks about a symbolic size: refused, so that no value is ever read in silence."""

    def __init__(self, factor: int, names: tuple[tuple[str, str, int], ...]) -> None:
        self.factor, self.names = factor, names
        self.expr = factor, names

    def __getattr__(self, name: str) -> Any:
        raise UnknownSizeError(name)


class Size(torch.SymInt):
    """A number times named dimensions, each with its place in a product and its example."""

    node: _Node

    def __init__(self, factor: int, names: Iterable[tuple[str, str, int]]) -> None:
        super().__init__(_Node(factor, tuple(sorted(names))))  # type: ignore[no-untyped-call]

    @property
    def value(self) -> int:
        """The example."""
        return self.node.factor * prod(example for _, _, example in self.node.names)

    @property
    def text(self) -> str:
        """The size as a person reads it."""
        names = [name for _, name, _ in self.node.names]
        text = "*".join([*([str(self.node.factor)] if self.node.factor != 1 else []), *names])
        return text if len(text) <= MAX_FORMULA else str(self.value)

    def __repr__(self) -> str:
        return self.text

    def __mul__(self, other: Any) -> Any:
        factor, names = _parts(other)
        if set(names) & set(self.node.names):
            raise UnknownSizeError("a square")
        return Size(self.node.factor * factor, (*self.node.names, *names))

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return divided(self, other)

    def __mod__(self, other: Any) -> Any:
        divided(self, other)
        return 0

    def __invert__(self) -> Any:
        raise UnknownSizeError("bits")


def divided(size: Any, other: Any) -> Any:
    """Return a size by another one, which has to be part of it."""
    (factor, names), (part, others) = _parts(size), _parts(other)
    if factor % part or not set(others) <= set(names):
        raise UnknownSizeError("a rest")
    left = set(names) - set(others)
    return Size(factor // part, left) if left else factor // part


def _parts(size: Any) -> tuple[int, tuple[tuple[str, str, int], ...]]:
    if isinstance(size, Size):
        return size.node.expr
    if type(size) is not int or size < 1:
        raise UnknownSizeError(type(size).__name__)
    return size, ()


def value_of(size: Any) -> Any:
    """Return the example of a size; anything else as it is."""
    return size.value if isinstance(size, Size) else size


def same(one: Any, other: Any) -> bool:
    """Return whether two sizes are one at every example. Where only the examples agree, torch has to be asked."""
    first, second = (each.node.expr if isinstance(each, Size) else each for each in (one, other))
    if first == second:
        return True
    if value_of(one) == value_of(other):
        raise UnknownSizeError("equal by chance")
    return False


def named(sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return a size for each dimension; 0 and 1 stay numbers, since they mean something of their own.

    In a product they stand in the order that torch has for its symbols, which it numbers by their names.
    """
    taken: set[int] = set()
    found: dict[str, Any] = dict(sizes)
    for name, example in sizes.items():
        if example < 2:
            continue
        number = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
        while number in taken:
            number += 1
        taken.add(number)
        found[name] = Size(1, [(f"s{number}", name, example)])
    return found
