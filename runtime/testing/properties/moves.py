"""Properties of a layer that moves: to another dtype, and to another device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from compiler.infer.values import tensors_in
from runtime.testing.case import MODES, WIDER, Case, call
from runtime.testing.comparison import difference, form
from runtime.testing.outcome import Failure, Skip

DEVICE = "lazy"
"""A stand-in, the one device beside the CPU that every build of torch knows without an accelerator: no operation
takes operands from both."""
MISSING = "not implemented for"
"""Words of torch where an operation does not know a dtype on a device."""
ROUNDING = 1e-3


def dtype(case: Case) -> None:
    """In float64 it gives the same, and in bfloat16, where torch can do that, values of that dtype."""
    narrow = call(case.make(), case.values())
    wide = call(case.make().double(), case.values(wide=True))
    for one, other in zip(tensors_in(narrow), tensors_in(wide), strict=True):
        if other.dtype != WIDER.get(one.dtype, one.dtype):
            raise Failure(f"it gives {form(wide)} in float64, and {form(narrow)} in float32")
        scale = max(1.0, float(one.detach().abs().nan_to_num(posinf=0).max())) if one.numel() else 1.0
        if one.is_floating_point() and not torch.allclose(
            one.double(), other, ROUNDING, ROUNDING * scale, True
        ):
            raise Failure(f"in float32 and float64 it gives {difference(one.double(), other)}")
    try:
        half = call(case.make().bfloat16(), _in_bfloat16(case))
    except (RuntimeError, NotImplementedError) as error:
        if MISSING in str(error):
            return
        raise
    for one, other in zip(tensors_in(narrow), tensors_in(half), strict=True):
        if one.dtype == torch.float32 and other.dtype != torch.bfloat16:
            raise Failure(
                f"it gives {form(half)} in bfloat16", "a constant has a dtype of its own: register it"
            )


def _in_bfloat16(case: Case) -> dict[str, Tensor]:
    return {
        name: each.bfloat16() if each.is_floating_point() else each for name, each in case.values().items()
    }


def device(case: Case) -> None:
    """Moved to another device it works there, and gives what is there."""
    for mode in MODES:
        layer, values = case.make().train(mode), case.values()
        with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
            _move(layer, fake)
            moved = {name: _moved(each, fake) for name, each in values.items()}
            output = _call_there(layer, moved)
        elsewhere = [t for t in tensors_in(output) if str(t.device) != DEVICE]
        if elsewhere:
            raise Failure(f"moved to another device, {DEVICE}, it gives a tensor on {elsewhere[0].device}")
    if torch.cuda.is_available():
        _on_accelerator(case)


def _move(layer: nn.Module, fake: FakeTensorMode) -> None:
    """Replace all that is registered by stand-ins, which `Module.to` cannot make.

    No gradient is followed: autograd asks a device for itself, and there may be none.
    """
    for module in layer.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(_moved(parameter, fake), requires_grad=False)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = _moved(buffer, fake)


def _moved(tensor: Tensor, fake: FakeTensorMode) -> Tensor:
    return fake.from_tensor(tensor.detach()).to(DEVICE)


def _call_there(layer: nn.Module, values: dict[str, Tensor]) -> object:
    try:
        return layer(**values)
    except (DataDependentOutputException, DynamicOutputShapeException):
        raise Skip("it looks at values, which stand-ins do not have") from None
    except RuntimeError as error:
        if "device" not in str(error):
            raise
        cause = "a tensor that is not registered stays where it was made"
        raise Failure(f"moved to another device, {DEVICE}: {' '.join(str(error).split())}", cause) from error


def _on_accelerator(case: Case) -> None:
    """Compare with what a real accelerator gives."""
    here = call(case.make(), case.values())
    there = call(case.make().cuda(), {name: each.cuda() for name, each in case.values().items()})
    for one, other in zip(tensors_in(here), tensors_in(there), strict=True):
        if one.is_floating_point() and not torch.allclose(one, other.cpu(), ROUNDING, ROUNDING, True):
            raise Failure(f"on the CPU and on an accelerator it gives {difference(one, other.cpu())}")
