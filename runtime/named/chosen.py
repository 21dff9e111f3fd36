"""Rules for elements that are chosen, and for new tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from compiler.infer.named_size import Size, UnknownSizeError, same
from compiler.infer.values import tensors_in
from runtime.named.sizes import Sizes, flat, place, sizes_of, static


def indexed(out: Any, input: Tensor, index: Any) -> Sizes:
    parts = index if isinstance(index, tuple) else (index,)
    sizes, found, at, tensors = sizes_of(input), [], 0, 0
    taken = sum(each is not None and each is not Ellipsis for each in parts)
    for each in parts:
        if each is None:
            found.append(1)
            continue
        width = len(sizes) - taken if each is Ellipsis else 1
        if each is Ellipsis:
            found += sizes[at : at + width]
        elif type(each) is slice:
            found.append(_sliced(sizes[at], each))
        elif isinstance(each, Tensor) and not tensors and each.dtype in (torch.int64, torch.int32):
            found += sizes_of(each)
            tensors = 1
        elif type(each) is not int:
            raise UnknownSizeError("an index")
        at += width
    return (*found, *sizes[at:])


def _sliced(size: Any, part: slice) -> Any:
    start, stop, step = part.start or 0, part.stop, part.step
    if not isinstance(size, Size) and not isinstance(stop, Size):
        static(start, step)
        return len(range(*part.indices(size)))
    if isinstance(start, Size) or start or step not in (None, 1):
        raise UnknownSizeError("a slice")
    if stop is None or (isinstance(stop, Size) and isinstance(size, Size) and same(stop, size)):
        return size
    if isinstance(stop, Size) and type(size) is int and size > stop.value:
        return stop
    raise UnknownSizeError("a slice")


def gathered(out: Any, input: Tensor, dim: int, index: Tensor, **_: Any) -> Sizes:
    _alike_but(input, index, dim)
    return sizes_of(index)


def scattered(out: Any, input: Tensor, dim: int, index: Tensor, src: Any = None, **_: Any) -> Sizes:
    for other in tensors_in([index, src]):
        _alike_but(input, other, dim)
    return sizes_of(input)


def _alike_but(input: Tensor, other: Tensor, dim: int) -> None:
    """Refuse names that differ, and any along one dimension."""
    first, second = sizes_of(input), sizes_of(other)
    at = place(dim, len(first))
    static(first[at], second[at])
    if not all(
        same(one, two) for each, (one, two) in enumerate(zip(first, second, strict=True)) if each != at
    ):
        raise UnknownSizeError("index")


def made(out: Any, *sizes: Any, **_: Any) -> Sizes:
    return flat(sizes)


def made_full(out: Any, size: Sequence[Any], *_: Any, **__: Any) -> Sizes:
    return tuple(size)


def made_by(out: Any, input: Tensor, *sizes: Any, **_: Any) -> Sizes:
    return flat(sizes)


def counted(out: Any, *ends: Any, **_: Any) -> Sizes:
    if len(ends) != (1 if type(ends[0]) is not int or ends[0] else 2):
        raise UnknownSizeError("arange")
    return (ends[-1],)
