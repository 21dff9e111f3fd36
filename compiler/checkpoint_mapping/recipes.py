"""Recipes: how one tensor is made of others, as a tree of four kinds of node.

A recipe says both how a tensor of a model comes out of a file and how a tensor of a file comes out of a model. It is
run on torch's meta device to learn its shape, and on values by the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Named:
    """A tensor as it is."""

    name: str


@dataclass(frozen=True)
class Permuted:
    """A tensor with its dimensions in another order."""

    of: Recipe
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A part of a tensor along one dimension: `size` entries from `start`, or the one at `start` if `size` is None."""

    of: Recipe
    dim: int
    start: int
    size: int | None


@dataclass(frozen=True)
class Joined:
    """Tensors one behind the other along a dimension, which is a new one if `new`."""

    parts: tuple[Recipe, ...]
    dim: int
    new: bool


Recipe: TypeAlias = Named | Permuted | Part | Joined


def evaluate(recipe: Recipe, read: Callable[[str], Tensor]) -> Tensor:
    """Return the tensor that a recipe makes of those that `read` returns.

    Raises:
        RuntimeError: the shapes do not fit.
    """
    match recipe:
        case Named(name):
            return read(name)
        case Permuted(of, dims):
            return evaluate(of, read).permute(dims)
        case Part(of, dim, start, None):
            return evaluate(of, read).select(dim, start)
        case Part(of, dim, start, int(size)):
            return evaluate(of, read).narrow(dim, start, size)
        case Joined(parts, dim, new):
            join = torch.stack if new else torch.cat
            return join([evaluate(part, read) for part in parts], dim)
    raise AssertionError(recipe)


def names_in(recipe: Recipe) -> Iterator[str]:
    """Yield the names of the tensors that a recipe reads."""
    for name, _ in ways(recipe):
        yield name


def ways(recipe: Recipe) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each tensor that a recipe reads, with what becomes of it, step by step."""
    match recipe:
        case Named(name):
            yield name, ()
        case Permuted(of, dims):
            step = "transposed" if dims == (1, 0) else f"dims in the order {', '.join(map(str, dims))}"
            yield from ((name, (*steps, step)) for name, steps in ways(of))
        case Part(of, dim, start, size):
            place = f"{start}" if size is None else f"{start}:{start + size}"
            step = f"[{':, ' * dim}{place}]"
            yield from ((name, (*steps, step)) for name, steps in ways(of))
        case Joined(parts, dim, new):
            how = ("stacked" if new else "joined") + (f" along dim {dim}" if dim else "")
            for number, part in enumerate(parts, 1):
                step = f"{how}, {number} of {len(parts)}"
                yield from ((name, (*steps, step)) for name, steps in ways(part))


def permuted_back(recipe: Recipe, dims: tuple[int, ...]) -> Permuted:
    """Return what undoes `Permuted(..., dims)`."""
    return Permuted(recipe, tuple(sorted(range(len(dims)), key=dims.__getitem__)))
