"""`finfo(x.dtype).max` and `iinfo(x.dtype).max` are torch's own, as masks of attention are written with them."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from tests.emitted_file import run_file

SPEC = """
spec: 1
name: limits
inputs: {x: "float[batch, 4]", n: "int64[batch, 4]"}
model:
  layers: {fc: Linear(4)}
  forward: |
    scores = fc(x).masked_fill(n > 0, finfo(x.dtype).min)
    return softmax(scores, dim=-1) + FORM
"""


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("finfo(x.dtype).eps", torch.finfo(torch.float32).eps),
        ("finfo(bfloat16).max * 0 + 2", 2.0),
        ("iinfo(n.dtype).bits", 64),
        ("finfo(x.dtype).tiny * 1e38", torch.finfo(torch.float32).tiny * 1e38),
    ],
)
def test_a_limit_is_that_of_torch(form: str, value: float) -> None:
    artifact = compiler.compile_text(SPEC.replace("FORM", form))
    built = runtime.build(artifact, device="cpu")
    alone = run_file(artifact.source, "Limits")
    alone.load_state_dict(built.state_dict())
    x, n = torch.randn(3, 4), torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    scores = built.get_submodule("fc")(x).masked_fill(n > 0, torch.finfo(torch.float32).min)
    for model in (built, alone):
        assert torch.equal(model(x, n), torch.softmax(scores, dim=-1) + value)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("finfo(x.dtype).maxi", "unknown-attribute"),
        ("finfo(n.dtype).max", "argument-type"),
        ("iinfo(x.dtype).max", "argument-type"),
        ("finfo(3).max", "argument-type"),
        ("finfo().max", "argument-type"),
        ("finfo(x.dtype)", "unknown-operation"),
        ("finfo(nothing).max", "unknown-name"),
    ],
)
def test_what_is_no_limit_is_said_in_its_place(form: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC.replace("FORM", form))
    assert [each.code for each in caught.value.diagnostics] == [code]


def test_infinity_may_be_written_as_in_python() -> None:
    spec = SPEC.replace("finfo(x.dtype).min", "float('-inf')").replace("FORM", "0 * min(1, float('inf'))")
    artifact = compiler.compile_text(spec)
    built = runtime.build(artifact, device="cpu")
    alone = run_file(artifact.source, "Limits")
    alone.load_state_dict(built.state_dict())
    x, n = torch.randn(3, 4), torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    scores = built.get_submodule("fc")(x).masked_fill(n > 0, -torch.inf)
    for model in (built, alone):
        assert torch.equal(model(x, n), torch.softmax(scores, dim=-1))
