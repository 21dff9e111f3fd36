"""The sizes of a tensor, named where they are known to be: marked on it, and what rules ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from compiler.catalogue.unheard import unheard
from compiler.infer.named_size import Size, UnknownSizeError, same, value_of
from compiler.infer.values import tensors_in

Sizes = tuple[Any, ...]
"""Whole numbers and named sizes."""
MARK = "blockprint_sizes"


def sizes_of(tensor: Tensor) -> Sizes:
    """Return the sizes of a tensor, named where they are known to be."""
    marked = vars(tensor).get(MARK)
    if marked is not None:
        return tuple(marked)
    with unheard():
        return tuple(tensor.shape)


def mark(result: Any, sizes: Any) -> None:
    """Mark what a function returned with sizes, one tuple for each tensor in it.

    Raises:
        UnknownSizeError: they are not what the example sizes came to.
    """
    tensors = tensors_in(result)
    each = sizes if isinstance(sizes, list) else [sizes]
    if len(tensors) != len(each):
        raise UnknownSizeError("results")
    for tensor, own in zip(tensors, each, strict=True):
        with unheard():
            if tuple(tensor.shape) != tuple(map(value_of, own)):
                raise UnknownSizeError("sizes")
        vars(tensor)[MARK] = tuple(own)


def place(dim: Any, length: int) -> int:
    """Return the place of a dimension, counted from the first one."""
    if type(dim) is not int or not -length <= dim < length:
        raise UnknownSizeError("dim")
    return dim % length


def static(*sizes: Any) -> None:
    """Refuse names."""
    if any(isinstance(size, Size) for size in sizes):
        raise UnknownSizeError("a name")


def distinct(*sizes: Any) -> None:
    """Refuse names that stand for two dimensions: in a product torch's symbols keep the name of one of them."""
    texts = [str(size) for size in sizes if isinstance(size, Size)]
    if len(set(texts)) < len(texts):
        raise UnknownSizeError("a name of two dimensions")


def weights(*values: Any) -> None:
    """Refuse names in tensors that are no inputs."""
    for tensor in tensors_in(list(values)):
        static(*sizes_of(tensor))


def flat(sizes: Sequence[Any]) -> Sizes:
    """Return sizes that a call may have as one list, or as arguments."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else tuple(sizes)


def product(sizes: Sequence[Any]) -> Any:
    """Return how many elements there are."""
    result: Any = 1
    for size in sizes:
        result = result * size
    return result


def broadcast(*shapes: Sizes) -> Sizes:
    """Return the sizes that all are broadcast to."""
    length = max(map(len, shapes))
    found = []
    for column in zip(*((1,) * (length - len(each)) + each for each in shapes), strict=True):
        size: Any = 1
        for each in column:
            if type(size) is int and size == 1:
                size = each
            elif not (type(each) is int and each == 1) and not same(size, each):
                raise UnknownSizeError("broadcast")
        found.append(size)
    return tuple(found)
