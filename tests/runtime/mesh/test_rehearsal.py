"""A step rehearsed in one process: what a rank holds and sends, and what torch would compute otherwise."""

from __future__ import annotations

import pytest
from torch import distributed

import compiler
from runtime.mesh.rehearsal import Rehearsal, rehearse
from spec_schema.diagnostics import SpecError
from tests.runtime.mesh.test_built_on_ranks import compiled

BODY = """
spec: 1
inputs: {x: "float32[batch, time, 16]"}
model:
  layers: {up: Linear(32), down: Linear(16)}
  forward: |
      PROGRAM
mesh:
  axes: {tp: 2}
  split:
    - up: colwise
    - down: rowwise
"""


def rehearsed(artifact: compiler.Artifact, **sizes: int) -> Rehearsal:
    plan = artifact.mesh_of(sizes)
    assert plan is not None
    found = rehearse(artifact, plan)
    assert not distributed.is_initialized()
    return found


def test_what_a_rank_holds_and_sends() -> None:
    artifact = compiled("llama")
    whole = sum(row.bytes for row in artifact.plan.parameters)
    one, four = rehearsed(artifact, dp=1, tp=1), rehearsed(artifact, dp=2, tp=2)
    assert one.parameters == one.trained == whole
    assert whole / 4 <= four.parameters < whole / 3.9
    assert four.activations < one.activations
    assert four.messages["all-gather"].count == 6  # units twice, the root once, and the logits
    assert four.messages["reduce-scatter"].count == 3
    assert four.unsure is None


def test_what_is_computed_again_is_not_kept() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 16]"}
blocks: {Part: [Linear(64), ReLU, Linear(16)]}
model: [Part, Part]
mesh: {axes: {dp: 2}, shard: dp, recompute: [PARTS]}
"""
    kept = rehearsed(compiler.compile_text(text.replace("PARTS", ""))).activations
    again = rehearsed(compiler.compile_text(text.replace("PARTS", "Part"))).activations
    assert again < kept / 2


@pytest.mark.parametrize(
    "program",
    [
        "return down(softmax(up(x), dim=-1))",
        "return down(up(x).flip(-1))",
        "y = up(x)\n      return down(y - y.mean(-1, keepdim=True))",
    ],
)
def test_operations_that_mix_columns_are_refused(program: str) -> None:
    artifact = compiler.compile_text(BODY.replace("PROGRAM", program))
    with pytest.raises(SpecError, match="mixes the columns") as error:
        rehearsed(artifact)
    assert error.value.diagnostics[0].code == "split-flow"
    assert error.value.diagnostics[0].span is not None


def test_what_torch_refuses_is_a_diagnosis() -> None:
    artifact = compiler.compile_text(BODY.replace("PROGRAM", "return down(up(x).view(-1, x.shape[1], 32))"))
    with pytest.raises(SpecError) as error:
        rehearsed(artifact)
    assert [found.code for found in error.value.diagnostics] == ["mesh-failed"]


@pytest.mark.parametrize(
    "program",
    ["return down(relu(up(x)) * up(x).sigmoid())", "return down(up(x) - up(x).mean(1, keepdim=True))"],
)
def test_operations_column_by_column_pass(program: str) -> None:
    assert rehearsed(compiler.compile_text(BODY.replace("PROGRAM", program))).unsure is None
