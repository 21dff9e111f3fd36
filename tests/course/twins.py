"""Models of the course's specs, held against modules that the tests write by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "specs" / "course"
PLUGIN = str(COURSE / "plugins" / "my_layers.py")


def compiled(name: str, **options: Any) -> Artifact:
    return compiler.compile(COURSE / f"{name}.yaml", **options)


def built(name: str, seed: int = 0, **options: Any) -> nn.Module:
    return runtime.build(compiled(name, **options), seed=seed, device="cpu")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def redraw(module: nn.Module, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)


def tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in tensors_in(part)]


def gradients(module: nn.Module, outputs: list[Tensor], inputs: list[Tensor]) -> dict[str, Tensor | None]:
    """Gradients of a fixed random projection of the outputs, for parameters by name and inputs by position."""
    total = torch.zeros(())
    for at, output in enumerate(outputs):
        weights = drawn(*output.shape, seed=100 + at)
        total = total + (torch.abs(output) * weights if output.is_complex() else output * weights).sum()
    module.zero_grad()
    total.backward()
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {**found, **{f"input {at}": each.grad for at, each in enumerate(inputs)}}


def run(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    given = [each.clone().requires_grad_(each.is_floating_point()) for each in inputs]
    outputs = tensors_in(module(*given))
    return outputs, gradients(module, outputs, given)


def assert_same(
    model: nn.Module, twin: nn.Module, *inputs: Tensor, equal: Callable[..., bool] = torch.equal
) -> None:
    """The two give the same outputs and the same gradients, and some gradient is not zero."""
    (outputs, slopes), (wanted, wanted_slopes) = run(model, inputs), run(twin, inputs)
    assert len(outputs) == len(wanted)
    for output, each in zip(outputs, wanted, strict=True):
        assert output.dtype == each.dtype
        assert equal(output, each)
    assert slopes.keys() == wanted_slopes.keys()
    for name, slope in wanted_slopes.items():
        found = slopes[name]
        assert (found is None) == (slope is None), name
        assert slope is None or equal(found, slope), name
    assert any(slope is not None and slope.abs().max() > 0 for slope in slopes.values())


def assert_twins(model: nn.Module, twin: nn.Module, *inputs: Tensor) -> None:
    """The two have the same keys in the same order, and the state of either makes the other one the same."""
    assert list(model.state_dict()) == list(twin.state_dict())
    twin.load_state_dict(model.state_dict())
    assert_same(model, twin, *inputs)
    redraw(twin)
    model.load_state_dict(twin.state_dict())
    assert_same(model, twin, *inputs)
