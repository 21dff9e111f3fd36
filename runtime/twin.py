"""A twin of a model, written by hand: the same values, loaded by their names, and whether it returns the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

CLOSE = {torch.float16: 2e-2, torch.bfloat16: 5e-2, torch.float64: 1e-8, torch.complex128: 1e-8}
"""How far outputs may be apart, as a share of the largest value."""
CLOSE_ELSE, CLOSE_ELSEWHERE = 1e-4, 5e-3
"""The same for other dtypes, on the CPU and on devices that may multiply with fewer digits."""
SHAKEN = 0.02
"""What values are moved by, so that zeros at the start hide nothing."""


def shake(model: nn.Module, seed: int) -> None:
    """Move all parameters of a model a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                moved = torch.randn(parameter.shape, generator=generator) * SHAKEN
                parameter.add_(moved.to(parameter))


def load_by_name(model: nn.Module, twin: nn.Module) -> str | None:
    """Give the values of a model to its twin, and return None; or why that cannot be, if names or shapes differ."""
    own, other = model.state_dict(), twin.state_dict()
    for name in [*own, *other]:
        if name not in other:
            return f"`{name}` is only in the model"
        if name not in own:
            return f"`{name}` is only in the reference"
        if own[name].shape != other[name].shape:
            return f"`{name}` is {_form(own[name])} in the model and {_form(other[name])} in the reference"
    twin.load_state_dict(own)
    return None


def difference(output: Any, other: Any, of_values: bool = True) -> str | None:
    """Return what differs in what a model and its twin return, in shapes or in values too; None if nothing does."""
    ours, theirs = list(_leaves(output)), list(_leaves(other))
    if len(ours) != len(theirs):
        return f"the model returns {_count(ours)}, and the reference {_count(theirs)}"
    for at, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        which = f"output {at}" if len(ours) > 1 else "the output"
        if _form(own) != _form(other):
            return f"{which} is {_form(own)}, and that of the reference {_form(other)}"
        if of_values and isinstance(own, Tensor) and (gap := _gap(own, other)):
            return f"{which} {gap}"
    return None


def _leaves(value: Any) -> Iterator[Any]:
    """Yield each value of a nested output."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _count(values: Sequence[Any]) -> str:
    return "1 value" if len(values) == 1 else f"{len(values)} values"


def _gap(ours: Tensor, theirs: Tensor) -> str | None:
    """Return how two tensors of one form differ, if they do too much."""
    if not (ours.is_floating_point() or ours.is_complex()):
        unequal = int((ours != theirs).sum())
        return f"differs in {unequal:,} of {ours.numel():,} values" if unequal else None
    exact = torch.complex128 if ours.is_complex() else torch.float64
    wide = [each.detach().cpu().to(exact) for each in (ours, theirs)]
    largest = max(
        (float(each.abs().nan_to_num(posinf=0).max()) for each in wide if each.numel()), default=0.0
    )
    allowed = CLOSE.get(ours.dtype, CLOSE_ELSE if ours.device.type == "cpu" else CLOSE_ELSEWHERE) * largest
    if torch.allclose(wide[0], wide[1], rtol=0, atol=allowed, equal_nan=True):
        return None
    if not torch.equal(wide[0].isnan(), wide[1].isnan()):
        return "is NaN at other places"
    gap = float((wide[0] - wide[1]).abs().nan_to_num().max())
    return f"differs by up to {gap:.2g}, where its values go up to {largest:.2g}"
