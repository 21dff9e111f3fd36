"""Forms of results that follow from a formula, where all is as usual: what torch would come to, without asking it.

torch's own answer on the meta device is written in Python, takes milliseconds, and imports its compiler and sympy at
the first call. Usual is: dense tensors of one floating-point dtype, that lie in memory in order, of sizes that fit.
For all else a formula has no answer, and torch is asked, so that each refusal is torch's own.
`tests/compiler/test_known_forms.py` holds each formula against torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
INDICES = frozenset({torch.int32, torch.int64})


class Form(NamedTuple):
    """A tensor without values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


def known_form(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Form | None:
    """Return the form of what a function returns for usual arguments; None where torch has to be asked."""
    formula = FORMULAS.get(function)
    if formula is None:
        return None
    try:
        return formula(*arguments, **keywords)
    except (AttributeError, TypeError):  # arguments that no usual call has
        return None


def filled(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Tensor | None:
    """Return the tensor without values that a function does nothing but put values into; None for all else."""
    try:
        if function is nn.init.normal_:
            return _filled_normally(*arguments, **keywords)
        if function is Tensor.normal_ and not (arguments[0].requires_grad and torch.is_grad_enabled()):
            return _filled_normally(*arguments, **keywords)
    except TypeError:  # arguments that no usual call has
        return None
    return None


def _filled_normally(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None
) -> Tensor | None:
    numbers = type(mean) in (int, float) and type(std) in (int, float) and std >= 0
    return tensor if numbers and generator is None and _usual(tensor) else None


def _dense(shape: tuple[int, ...], dtype: torch.dtype) -> Form:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return Form(shape, tuple(reversed(strides)), dtype)


def _usual(*tensors: Any) -> bool:
    """Return whether tensors are of one floating-point dtype, dense and in order, and hold something."""
    return tensors[0].dtype in FLOATS and all(
        _in_order(each) and each.dtype == tensors[0].dtype for each in tensors
    )


def _in_order(tensor: Any) -> bool:
    """Return whether a value is a tensor without values and symbols, which lies in memory as its sizes stand."""
    if type(tensor) not in (Tensor, nn.Parameter) or not tensor.is_meta or tensor.layout is not torch.strided:
        return False
    shape = tuple(tensor.shape)
    plain = all(type(size) is int and size > 0 for size in shape)
    return plain and tensor.stride() == _dense(shape, tensor.dtype).stride


def _present(*tensors: Tensor | None) -> list[Tensor]:
    return [each for each in tensors if each is not None]


# --- element by element ---------------------------------------------------------------------------------


def _same(input: Tensor, *, approximate: str = "none") -> Form | None:
    return (
        _dense(tuple(input.shape), input.dtype) if _usual(input) and approximate in ("none", "tanh") else None
    )


def _same_unless_in_place(input: Tensor, inplace: bool = False) -> Form | None:
    return _same(input) if inplace is False else None


def _with(input: Tensor, other: Tensor | float) -> Form | None:
    """The form of `input + other`, and of what else is done to both element by element."""
    if not isinstance(other, Tensor):
        return _same(input) if type(other) in (int, float) else None
    if not _usual(input, other):
        return None
    shape = _broadcast(tuple(input.shape), tuple(other.shape))
    return None if shape is None else _dense(shape, input.dtype)


def _broadcast(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...] | None:
    """Return the shape that both are broadcast to, None if they are not."""
    length = max(len(one), len(other))
    pairs = list(zip(*((1,) * (length - len(each)) + tuple(each) for each in (one, other)), strict=True))
    fits = all(first == second or 1 in (first, second) for first, second in pairs)
    return tuple(map(max, pairs)) if fits else None


def _softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Form | None:
    usual = type(dim) is int and dtype is None and -input.ndim <= dim < input.ndim
    return _same(input) if usual else None


# --- layers ---------------------------------------------------------------------------------------------


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Form | None:
    if not _usual(input, weight, *_present(bias)) or input.ndim < 2 or weight.ndim != 2:
        return None
    if input.shape[-1] != weight.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    return _dense((*input.shape[:-1], weight.shape[0]), input.dtype)


def _normalised(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Form | None:
    sizes = tuple(normalized_shape)
    own = _present(weight, bias)
    if not _usual(input, *own) or not sizes or tuple(input.shape[-len(sizes) :]) != sizes:
        return None
    return _same(input) if all(tuple(each.shape) == sizes for each in own) else None


def _rms_normalised(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Form | None:
    return _normalised(input, normalized_shape, weight)


def _batch_normalised(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Form | None:
    own = _present(running_mean, running_var, weight, bias)
    if not _usual(input, *own) or not 2 <= input.ndim <= 5 or not (training or len(own) >= 2):
        return None
    if (running_mean is None or running_var is None) and not (training and running_mean is running_var):
        return None
    if any(each.requires_grad for each in _present(running_mean, running_var)):
        return None
    channels = input.shape[1]
    several = input.numel() > channels  # of one value there is no variance
    return _same(input) if several and all(tuple(each.shape) == (channels,) for each in own) else None


def _embedded(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Form | None:
    usual = _in_order(input) and input.dtype in INDICES and _usual(weight) and weight.ndim == 2
    if not usual or max_norm is not None:
        return None
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        return None
    return _dense((*input.shape, weight.shape[1]), weight.dtype)


# --- convolutions ---------------------------------------------------------------------------------------

Sizes = int | Sequence[int]


def _convolved(dimensions: int) -> Callable[..., Form | None]:
    """Return the formula of a convolution over so many dimensions."""

    def formula(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Form | None:
        if not _usual(input, weight, *_present(bias)) or not input.ndim == weight.ndim == dimensions + 2:
            return None
        fits = input.shape[1] == weight.shape[1] * groups and weight.shape[0] % groups == 0
        steps = [_each(given, dimensions) for given in (stride, padding, dilation)]
        if not fits or None in steps or (bias is not None and bias.shape != weight.shape[:1]):
            return None
        sizes = _slid(input.shape[2:], weight.shape[2:], *steps)  # type: ignore[arg-type]
        if _either_order(input) or _either_order(weight) or not all(size > 0 for size in sizes):
            return None
        return _dense((input.shape[0], weight.shape[0], *sizes), input.dtype)

    return formula


def _each(given: Sizes, dimensions: int) -> Sequence[int] | None:
    """Return a number for each dimension, None where it is said otherwise."""
    sizes: Any = (given,) * dimensions if type(given) is int else given
    if not isinstance(sizes, tuple | list) or len(sizes) != dimensions:
        return None
    return sizes if all(type(each) is int and each >= 0 for each in sizes) else None


def _slid(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """Return how often a kernel fits; 0 where torch has to say that it does not."""
    return [
        0 if 0 in (step, wide) else max((size + 2 * pad - wide * (width - 1) - 1) // step + 1, 0)
        for size, width, step, pad, wide in zip(sizes, kernel, stride, padding, dilation, strict=True)
    ]


def _either_order(tensor: Tensor) -> bool:
    """Return whether a tensor also lies in memory as one whose channels come last."""
    return math.prod(tensor.shape[2:]) == 1


FORMULAS: Mapping[Callable[..., Any], Callable[..., Form | None]] = {
    **dict.fromkeys((torch.relu, torch.sigmoid, torch.tanh, F.gelu), _same),
    **dict.fromkeys((Tensor.relu, Tensor.sigmoid, Tensor.tanh), _same),
    **dict.fromkeys((F.relu, F.silu, F.mish, F.hardswish, F.selu), _same_unless_in_place),
    **dict.fromkeys((Tensor.add, Tensor.sub, Tensor.mul, Tensor.div), _with),
    F.softmax: _softmax,
    F.linear: _linear,
    F.layer_norm: _normalised,
    F.rms_norm: _rms_normalised,
    F.batch_norm: _batch_normalised,
    F.embedding: _embedded,
    torch.conv1d: _convolved(1),
    torch.conv2d: _convolved(2),
    torch.conv3d: _convolved(3),
}
"""Each function returns new tensors, unless it is told to work in place."""
