"""A write into a part of a tensor, as the tensor that has the part in it: `x[a:b] = y` makes a new `x`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class UnsaidWriteError(Exception):
    """No operation of the language returns the whole of what is written."""


def with_item(tensor: Tensor, index: Any, value: Any) -> Tensor:
    """Return a tensor with a value in the place of an item.

    Raises:
        UnsaidWriteError: the item is chosen in a way that is none of a mask, places, numbers and slices.
    """
    parts = index if isinstance(index, tuple) else (index,)
    chosen = [each for each in parts if isinstance(each, Tensor)]
    if not chosen:
        return _scattered(tensor, _without_ellipsis(parts, tensor.ndim), 0, value)
    if len(chosen) < len(parts):
        raise UnsaidWriteError
    is_mask = len(parts) == 1 and parts[0].dtype == torch.bool
    if is_mask and (not isinstance(value, Tensor) or value.ndim == 0):
        return tensor.masked_fill(parts[0], value)
    return tensor.index_put(parts, value if isinstance(value, Tensor) else tensor.new_full((), value))


def _scattered(tensor: Tensor, parts: Sequence[Any], dimension: int, value: Any) -> Tensor:
    """Return a tensor of which the parts, from a dimension on, hold a value."""
    for place, part in enumerate(parts):
        if isinstance(part, slice) and part == slice(None):
            dimension += 1
            continue
        inside = tensor[(*[slice(None)] * dimension, part)] if dimension else tensor[part]
        rest = parts[place + 1 :]
        if isinstance(part, slice):
            made = _scattered(inside, rest, dimension + 1, value)
            ends = {"start": part.start, "end": part.stop, "step": part.step}
            given = {name: each for name, each in ends.items() if each is not None}
            return tensor.slice_scatter(made, dimension, **given)
        return tensor.select_scatter(_scattered(inside, rest, dimension, value), dimension, part)
    if not isinstance(value, Tensor):
        return torch.full_like(tensor, value)
    cast: Tensor = value if value.dtype == tensor.dtype else value.to(tensor.dtype)
    return cast if cast.shape == tensor.shape else cast.expand_as(tensor)


def _without_ellipsis(parts: Sequence[Any], ndim: int) -> list[Any]:
    if any(not isinstance(each, int | slice | type(...)) or isinstance(each, bool) for each in parts):
        raise UnsaidWriteError
    if ... not in parts:
        return list(parts)
    place = parts.index(...)
    return [*parts[:place], *[slice(None)] * (ndim - len(parts) + 1), *parts[place + 1 :]]
