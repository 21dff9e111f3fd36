"""Holds a spec of the zoo against the implementation that people use: names, ties, outputs and gradients.

An `Entry` says how the reference is built, small and at full size, and how it is called. To add one, add it to a
table such as `transformers_entries.ENTRIES`; the tests take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import compiler
import runtime
from compiler import Artifact
from compiler.infer.block_parameters import float_dtype
from tests.emitted_file import class_of

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Entry:
    """One architecture. `small` takes what the test says of the reference, such as which attention it uses."""

    spec: str
    small: Callable[..., nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    call: Callable[..., Sequence[Tensor]]
    """The outputs of the reference for the inputs, in the order in which the spec returns them."""
    full: Mapping[str, Callable[[], nn.Module]]
    """The reference at full size, by the preset of the spec; the spec as it stands has the name "" here."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the spec that are not those of its preset `tiny`."""

    def __str__(self) -> str:
        return "-".join([self.spec, *self.settings])

    def artifact(self, preset: str | None = "tiny") -> Artifact:
        settings = self.settings if preset == "tiny" else {}
        return _compiled(self.spec, preset, tuple(settings.items()))

    def built(self) -> nn.Module:
        """Return the model of its preset `tiny`, as it is built."""
        return built(self.artifact())

    def stand_alone(self, preset: str | None = "tiny") -> nn.Module:
        """Return the model of the file that is emitted at the spec's own values: of its class method for a preset.

        A preset that is none, since the file cannot say it, and settings beside it, have a file of their own.
        """
        cls = root_class(_compiled(self.spec, None, ()))
        settings = self.settings if preset == "tiny" else {}
        if settings or (preset and preset not in vars(cls)):
            return stand_alone(self.artifact(preset))
        model = getattr(cls, preset)() if preset else cls()
        assert isinstance(model, nn.Module)
        return model


@cache
def _compiled(spec: str, preset: str | None, settings: tuple[tuple[str, Any], ...]) -> Artifact:
    return compiler.compile(ROOT / f"specs/zoo/{spec}.yaml", preset=preset, set=dict(settings))


class InDouble(TorchFunctionMode):
    """What a reference casts to float32 on its way, it computes in float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        named = {name: _wide(value) for name, value in (kwargs or {}).items()}
        return func(*map(_wide, args), **named)


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def differences_in_double(entry: Entry) -> tuple[nn.Module, Differences]:
    """Return the reference in float64, and how the stand-alone file with its weights differs from it."""
    with float_dtype(torch.float64), InDouble():
        reference = draw(entry.small()).eval()
    with float_dtype(torch.float64):
        model = entry.stand_alone().eval()
        load_both_ways(model, reference)
        return reference, differences(model, reference, entry, torch.float64)


def stand_alone(artifact: Artifact) -> nn.Module:
    """Return a model of the class in the emitted file, executed as a file of its own."""
    model = root_class(artifact)()
    assert isinstance(model, nn.Module)
    return model


@cache
def root_class(artifact: Artifact) -> Any:
    """Return the class of the model in the emitted file."""
    return class_of(artifact.source, artifact.name)


def built(artifact: Artifact) -> nn.Module:
    return runtime.build(artifact, device="cpu")


def draw(model: nn.Module) -> nn.Module:
    """Give every parameter and statistic values of its own: what is all alike tells no mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        for name, statistic in statistics(model).items():
            if name.endswith(("running_mean", "running_var", "weight", "bias")):
                statistic.add_(torch.rand(statistic.shape, generator=generator))
    return model


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: b for name, b in model.named_buffers() if b.is_floating_point()}


def layers(model: nn.Module) -> dict[str, str]:
    """Return the layers of torch that hold tensors, with what they say of strides, dilations and the like."""
    named = model.named_modules()
    return {name: repr(m) for name, m in named if m._parameters and type(m).__module__.startswith("torch.")}


def load_both_ways(model: nn.Module, reference: nn.Module) -> None:
    """Load each strictly from the other, and compare what is a parameter, its shape, training and ties."""
    model.load_state_dict(reference.state_dict(), strict=True)
    reference.load_state_dict(model.state_dict(), strict=True)
    assert _parameters(model) == _parameters(reference)
    assert _ties(model) == _ties(reference)


def _parameters(model: nn.Module) -> dict[str, tuple[tuple[int, ...], bool]]:
    named = model.named_parameters(remove_duplicate=False)
    return {name: (tuple(p.shape), p.requires_grad) for name, p in named}


def _ties(model: nn.Module) -> set[frozenset[str]]:
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {frozenset(group) for group in names.values()}


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in tensors(part)]


def largest_difference(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """Return the largest difference, as a part of the largest value where that is above 1."""
    pairs = list(zip(first, second, strict=True))
    assert pairs
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    return max(float((a - b).abs().max() / max(1.0, float(b.abs().max()))) for a, b in pairs)


@dataclass(frozen=True)
class Differences:
    outputs: float
    gradients: float


def differences(
    model: nn.Module,
    reference: nn.Module,
    entry: Entry,
    dtype: torch.dtype,
    forward: Callable[..., Any] | None = None,
) -> Differences:
    """Run both, backwards too from a random mixture of the outputs, and return how far apart they are.

    `forward` is another way to call the model, such as a compiled one.
    """
    forward = model if forward is None else forward
    inputs = tuple(x.to(dtype) if x.is_floating_point() else x for x in entry.inputs())
    ours = _run(lambda: tensors(forward(*inputs)))
    with InDouble() if dtype is torch.float64 else nullcontext():
        theirs = _run(lambda: entry.call(reference, *inputs))
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    missing = {name for name, p in model.named_parameters() if p.grad is None}
    assert missing == {name for name, gradient in gradients.items() if gradient is None}
    pairs = [(p.grad, gradients[name]) for name, p in model.named_parameters() if name not in missing]
    return Differences(
        largest_difference(ours, theirs),
        max(largest_difference([a], [b]) for a, b in pairs if a is not None and b is not None),
    )


def _run(forward: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
    """Return the outputs, after the backward pass. What is drawn on the way is the same for both."""
    torch.manual_seed(0)
    outputs = forward()
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in outputs]
    torch.stack([(x * weight).sum() for x, weight in zip(outputs, weights, strict=True)]).sum().backward()
    return [x.detach() for x in outputs]
