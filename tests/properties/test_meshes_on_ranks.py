"""Any mesh that `mesh` accepts runs on two ranks: first values, outputs and gradients are those of one process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.infer.values import tensors_in
from runtime.mesh.rehearsal import rehearse
from runtime.named_tensors import named_tensors
from runtime.sharded import gathered, orders_of
from runtime.testing.comparison import difference, same
from runtime.testing.strategies.meshes import meshes
from runtime.testing.strategies.specs import call, sample_inputs, specs
from spec_schema.canonical import to_yaml
from tests.runtime.mesh.standing import StandingRanks

RANKS = 2
EXAMPLES = max(3, settings().max_examples // 4)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingRanks]:
    standing = StandingRanks(RANKS, tmp_path_factory.mktemp("ranks"))
    yield standing
    standing.stop()


@settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate])  # ranks that raise are started anew
@given(st.data())
def test_an_accepted_mesh_runs_on_ranks_as_one_process(ranks: StandingRanks, data: st.DataObject) -> None:
    document = data.draw(specs())
    alone = compiler.compile_text(to_yaml(document))
    text = to_yaml({**document, "mesh": data.draw(meshes(alone, RANKS))})
    try:
        artifact = compiler.compile_text(text)
        assert artifact.mesh is not None
        rehearse(artifact, artifact.mesh)
    except compiler.SpecError as error:
        event(f"refused: {error.diagnostics[0].code}")
        return
    axis = next(axis for axis, size in artifact.mesh.axes.items() if size == RANKS)
    event(
        f"over {axis}, layers split: {min(len(artifact.mesh.layers), 3)}, units: {len(artifact.mesh.units) > 1}"
    )
    assert ranks.run(beside_the_whole, text) == [None] * RANKS


def beside_the_whole(text: str) -> str | None:
    """Return how what is gathered, and this rank's outputs, differ from those of the whole model."""
    warnings.simplefilter("ignore")
    artifact = compiler.compile_text(text)
    whole = runtime.build(artifact, seed=3, device="cpu").eval()
    part = runtime.build_on_mesh(artifact, seed=3, device="cpu").eval()
    orders, theirs, state = orders_of(part), dict(whole.named_parameters()), dict(named_tensors(whole))
    for name, tensor in named_tensors(part):
        if not same(gathered(tensor, orders.get(name)), state[name]):
            return f"first values of {name}"
    found = difference(_run(part, artifact), _run(whole, artifact))
    if found is not None:
        return f"outputs: {found}"
    for name, parameter in part.named_parameters():
        if parameter.grad is None:
            continue  # a parameter that no output follows from may have none, or zeros
        gradient = theirs[name].grad
        expected = torch.zeros_like(theirs[name]) if gradient is None else gradient
        found = difference(gathered(parameter.grad, orders.get(name)), expected)
        if found is not None:
            return f"gradient of {name}: {found}"
    missing = [
        name for name, each in part.named_parameters() if each.grad is None and theirs[name].grad is not None
    ]
    return f"no gradients of {missing}" if missing else None


def _run(model: nn.Module, artifact: Artifact) -> Any:
    """Return the output of a model after its backward."""
    output = call(model, artifact, sample_inputs(artifact))
    tensors: list[Tensor] = [each for each in tensors_in(output) if each.requires_grad]
    if tensors:
        torch.autograd.backward(tensors, [torch.ones_like(each) for each in tensors])
    return output
