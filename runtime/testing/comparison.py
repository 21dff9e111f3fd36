"""Outputs compared: in every bit, or up to rounding, with words for the difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from compiler.infer.values import tensors_in

TOLERANCE = {torch.float64: 1e-9, torch.complex128: 1e-9, torch.float32: 1e-4, torch.complex64: 1e-4}
"""What rounding may make of a value of each dtype, relative to the largest."""
COARSE = 0.1
"""The same for dtypes of 16 bits."""


def same(a: Any, b: Any) -> bool:
    """Return whether two outputs are equal in every bit that counts: NaN is NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        return bool(((a == b) | (a.isnan() & b.isnan())).all())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def difference(a: Any, b: Any, exact: bool = False) -> str | None:
    """Return how two outputs differ, None where they are equal: in every bit if `exact`, else up to rounding."""
    ours, theirs = tensors_in(a), tensors_in(b)
    if len(ours) != len(theirs):
        return f"{len(ours)} tensors and {len(theirs)}"
    for one, other in zip(ours, theirs, strict=True):
        found = _difference(one.detach(), other.detach(), exact)
        if found is not None:
            return found
    return None


def form(value: Any) -> str:
    """Return the dtypes and shapes of the tensors in a value."""
    tensors = tensors_in(value)
    texts = [f"{str(each.dtype).removeprefix('torch.')}{list(each.shape)}" for each in tensors]
    return ", ".join(texts) or f"no tensor ({type(value).__name__})"


def _difference(a: Tensor, b: Tensor, exact: bool) -> str | None:
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{form(a)} and {form(b)}"
    if same(a, b):
        return None
    if not (a.is_floating_point() or a.is_complex()):
        return f"{_first(a, a != b)} and {_first(b, a != b)}"
    apart = (a - b).abs()
    apart[(a == b) | (a.isnan() & b.isnan())] = 0
    scale = max(1.0, float(b.abs().nan_to_num(posinf=0.0).max()))
    allowed = 0.0 if exact else TOLERANCE.get(a.dtype, COARSE) * scale
    over = ~(apart <= allowed)
    if not bool(over.any()):
        return None
    worst = apart == apart[over].max() if not bool(apart[over].isnan().any()) else over
    return f"{_first(a, worst)} and {_first(b, worst)}"


def _first(values: Tensor, where: Tensor) -> str:
    value = values[where].flatten()[0].item()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
