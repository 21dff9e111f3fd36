"""Behind a dot: the views of a tensor, and the parts of a result by the names that torch gives them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.other_devices import place
from tests.emitted_file import run_file

SPEC = """
spec: 1
name: model
inputs: {x: "float32[batch, time, 8]"}
model:
  layers: {gate: Linear(4)}
  forward: |
    best = topk(softmax(gate(x), dim=-1), 2)
    z = view_as_complex(x.unflatten(-1, (4, 2)).contiguous())
    y = best.values.sum(dim=-1, keepdim=True) * z.real + z.imag + best.indices[..., :1]
    y = y + x.max(dim=1, keepdim=True).values[..., :4] - min(x, dim=-1, keepdim=True).values
    return y + linalg.qr(y.mH).R.mean(dim=[1, 2], keepdim=True) + x[0, :4, :4].H.sum() + aminmax(x).max
"""


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        values, indices = torch.softmax(self.gate(x), dim=-1).topk(2)
        z = x.unflatten(-1, (4, 2))
        y = values.sum(-1, keepdim=True) * z[..., 0] + z[..., 1] + indices[..., :1]
        y = y + x.amax(1, keepdim=True)[..., :4] - x.amin(-1, keepdim=True)
        mean = torch.linalg.qr(y.transpose(1, 2))[1].mean([1, 2], keepdim=True)
        return y + mean + x[0, :4, :4].sum() + x.amax()


def test_they_are_those_of_torch() -> None:
    artifact = compiler.compile_text(SPEC)
    assert "best.indices[..., :1]" in artifact.source
    built, by_hand, alone = (
        runtime.build(artifact, device="cpu"),
        Model(),
        run_file(artifact.source, "Model"),
    )
    x = torch.randn(2, 5, 8)
    by_hand.load_state_dict(built.state_dict())
    by_hand(x).square().sum().backward()
    for model in (built, alone):
        model.load_state_dict(by_hand.state_dict())
        torch.testing.assert_close(model(x), by_hand(x))
        model(x).square().sum().backward()
        for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("x.imag", "operation-failed: `imag` refuses this"),
        ("x[0].mT", "operation-failed: `mT` refuses this"),
        ("x.values", "unknown-attribute: a tensor [2, 3] has no attribute `values`"),
        ("topk(x, 1).Q", "unknown-attribute: "),
        ("topk(x, 1).index", "unknown-attribute: tensors have no attribute `index`"),
        ("x.shape.values", "unknown-attribute: "),
        ("x.grad", "unknown-attribute: tensors have no attribute `grad`"),
    ],
)
def test_what_is_not_there_is_said_in_its_place(form: str, problem: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f'spec: 1\ninputs: {{x: "float32[2, 3]"}}\nmodel:\n  forward: return {form}\n')
    (found,) = caught.value.diagnostics
    assert f"{found.code}: {found.message}".startswith(problem)


def test_a_layer_may_bear_such_a_name() -> None:
    artifact = compiler.compile_text("""
    spec: 1
    inputs: {x: "float32[2, 3]"}
    blocks:
      Stage: {layers: {real: Linear(3), values: Linear(3)}, forward: "return real(x)"}
    model:
      layers: {stages: {repeat: 2, of: Stage}}
      forward: |
        for stage in stages:
          x = stage.real(x) + stage.values(x).real
        return x
    """)
    assert runtime.build(artifact)(torch.ones(2, 3)).shape == (2, 3)


def test_they_lie_where_what_they_are_of_lies() -> None:
    artifact = compiler.compile_text("""
    spec: 1
    inputs: {x: "float32[batch, 4]"}
    model:
      layers: {a: Linear(4), b: Linear(4)}
      forward: |
        best = topk(a(x), 2)
        return b(x).mH.mH[:, :2] * best.values
    """)
    source = place(artifact, {"a": "cuda:0", "b": "cuda:1"}).source
    assert ".mH.mH[:, :2] * best.values.to(self.b.weight.device)" in source
