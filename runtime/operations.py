"""The number of operations of a run without values, as torch's `FlopCounterMode` counts them.

That one imports torch's compiler, and follows modules, which nobody asks for here. What it counts and this does not is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compiler.catalogue.unheard import unheard
from compiler.infer.dispatch import DispatchMode

OWN = ("aten", "prim")
"""Namespaces of operations that torch itself has; others may have formulas of their own."""
QUESTIONS = frozenset(
    f"aten::{name}"
    for name in (
        *("sym_is_contiguous", "is_contiguous", "is_strides_like_format", "is_non_overlapping_and_dense"),
        *("size", "sym_size", "stride", "sym_stride", "storage_offset", "sym_storage_offset"),
        *("numel", "sym_numel", "dim"),
    )
) | {"prim::layout"}
"""What torch's counter does not answer."""
DEVICE = "prim::device"
REFUSED = (
    "_scaled_mm",
    "_attention",
    "cudnn_convolution",
    "convolution_overrideable",
    "_slow_conv2d",
    "_backward",
)
"""Parts of the names of what torch counts for other devices, or backwards."""


class UncountedError(Exception):
    """Torch may know how many operations this is."""


def _matrices(first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return 2 * prod(first.shape) * second.shape[-1]


def _added(input: Tensor, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return _matrices(first, second)


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
    result: Tensor,
    **__: Any,
) -> int:
    places = (input if transposed else result).shape[2:]
    return 2 * prod(places) * prod(weight.shape) * input.shape[0]


FORMULAS: Mapping[str, Callable[..., int]] = {
    "aten::mm": _matrices,
    "aten::bmm": _matrices,
    "aten::addmm": _added,
    "aten::baddbmm": _added,
    "aten::convolution": _convolution,
    "aten::_convolution": _convolution,
}
CONVOLUTIONS = frozenset({torch.conv1d, torch.conv2d, torch.conv3d})


class Operations(DispatchMode):
    """Counts the operations inside of a `with`; a multiplication and the addition of its result are two."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given, name = dict(kwargs or {}), func._schema.name
        if name in QUESTIONS:
            return NotImplemented
        if func.namespace not in OWN or any(part in name for part in REFUSED):
            raise UncountedError(name)
        if name != DEVICE:
            with self:
                found = func.decompose(*args, **given)
            if found is not NotImplemented:
                return found
        result = func(*args, **given)
        if name in FORMULAS:
            formula = FORMULAS[name]
            named = {"result": result} if formula is _convolution else {}
            self.total += formula(*args, **given, **named)
        return result

    def add(self, function: Callable[..., Any], arguments: Sequence[Any], result: Tensor) -> None:
        """Count a call of which only the form of the result is known, as `known_forms` gives it."""
        with unheard():
            if function is F.linear:
                self.total += 2 * prod(result.shape) * arguments[0].shape[-1]
            elif function in CONVOLUTIONS:
                self.total += 2 * prod(result.shape[2:]) * prod(arguments[1].shape) * result.shape[0]
