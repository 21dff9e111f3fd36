"""The gradient of a shared weight is the sum of the gradients that its uses have apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from hypothesis import event, given
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.infer.values import tensors_in
from runtime.testing.comparison import same
from runtime.testing.strategies.specs import Document, call, sample_inputs, specs
from runtime.testing.strategies.twins import original, untied
from spec_schema.canonical import to_yaml

TOLERANCE = 1e-10


@given(specs(dtype="float64", shared=True))
def test_gradients_of_shared_weights_are_sums(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    apart = compiler.compile_text(to_yaml(untied(document)))
    model, twin = runtime.build(artifact), runtime.build(apart)
    _copy_values(model, twin)
    uses = _uses(artifact, apart)
    event(f"used more than once: {sum(len(names) > 1 for names in uses.values()) > 0}")
    ours, theirs = _gradients(model, artifact), _gradients(twin, apart)
    for row in artifact.plan.parameters:
        if row.trainable:
            _check_sum(row.name, ours[row.name], [theirs[name] for name in uses[row.name]])


def _copy_values(model: nn.Module, twin: nn.Module) -> None:
    """Give all tensors of the twin, saved or not, the values that they have in the model."""
    values = dict(_tensors(model))
    with torch.no_grad():
        for name, tensor in _tensors(twin):
            tensor.copy_(values[original(name)])


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _uses(artifact: Artifact, apart: Artifact) -> dict[str, list[str]]:
    """Return, for each tensor of a model, the tensors of the untied twin that it is in one."""
    uses: dict[str, list[str]] = {}
    for row in apart.plan.parameters:
        uses.setdefault(artifact.plan.by_name[original(row.name)].name, []).append(row.name)
    return uses


def _gradients(model: nn.Module, artifact: Artifact) -> dict[str, Tensor]:
    """Return the gradients of a sum of squares of all outputs, zero where there is none."""
    inputs = {name: _with_gradient(value) for name, value in sample_inputs(artifact).items()}
    output = call(model.eval(), artifact, inputs)
    loss = sum(
        (t.abs().square().sum() for t in tensors_in(output)), start=torch.zeros((), dtype=torch.float64)
    )
    parameters: dict[str, Any] = dict(model.named_parameters(remove_duplicate=False))
    if loss.requires_grad:
        loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}


def _with_gradient(value: Tensor) -> Tensor:
    """Let an input have a gradient too: without it, a backward of torch 2.13 may end the whole process."""
    return value.requires_grad_().clone() if value.is_floating_point() or value.is_complex() else value


def _check_sum(name: str, ours: Tensor, parts: list[Tensor]) -> None:
    if len(parts) == 1:
        assert same(ours, parts[0]) or _close(ours, parts), name
    assert _close(ours, parts), f"{name}: {ours} is not the sum of {parts}"


def _close(ours: Tensor, parts: list[Tensor]) -> bool:
    whole = torch.stack(parts)
    difference = (ours - whole.sum(dim=0)).abs()
    scale = whole.abs().sum(dim=0).clamp(min=1)
    near = difference <= TOLERANCE * scale
    return bool((near | ~whole.isfinite().all(dim=0)).all())
