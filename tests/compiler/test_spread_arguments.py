"""`x.view(*sizes, -1)`: a list is spread over the arguments of an operation or a method, as in Python."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from tests.emitted_file import run_file

SPEC = """
spec: 1
name: model
vars: {heads: 2, dim: 8}
inputs: {x: "float32[batch, time, dim]"}
blocks:
  Attention(dim, heads):
    layers: {qkv: Linear(3 * dim), out: Linear(dim)}
    buffers:
      bias:
        value: |
          sizes = [1, heads, 1]
          return ones(*sizes, 1) / 2
    forward: |
      sizes = x.shape[:-1]
      parts = [y.view(*sizes, heads, -1).permute(*[0, 2], 1, 3) for y in qkv(x).chunk(3, dim=-1)]
      y = scaled_dot_product_attention(parts[0], parts[1], parts[2]) + bias
      return out(einsum('bhtd,h->bthd', *[y, ones(*y.shape[1:2])]).reshape(*sizes, -1))
model: Attention(dim, heads)
"""


class Attention(nn.Module):
    bias: Tensor

    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("bias", torch.ones(1, heads, 1, 1) / 2)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        sizes = x.shape[:-1]
        q, k, v = (y.view(*sizes, self.heads, -1).transpose(1, 2) for y in self.qkv(x).chunk(3, dim=-1))
        y = nn.functional.scaled_dot_product_attention(q, k, v) + self.bias
        result: Tensor = self.out(y.transpose(1, 2).reshape(*sizes, -1))
        return result


def test_it_does_what_a_module_written_by_hand_does() -> None:
    artifact = compiler.compile_text(SPEC)
    assert "view(*sizes, self.heads, -1)" in artifact.source
    built, by_hand = runtime.build(artifact, device="cpu"), Attention()
    by_hand.load_state_dict(built.state_dict())
    alone = run_file(artifact.source, "Model")
    alone.load_state_dict(built.state_dict())
    for shape in ((3, 5, 8), (1, 2, 8)):
        x = torch.randn(shape)
        wanted = by_hand(x)
        wanted.square().sum().backward()
        for model in (built, alone):
            model.zero_grad()
            torch.testing.assert_close(model(x), wanted)
            model(x).square().sum().backward()
            for (name, one), other in zip(model.named_parameters(), by_hand.parameters(), strict=True):
                torch.testing.assert_close(one.grad, other.grad, msg=name)
        by_hand.zero_grad()


def test_a_variable_that_is_spread_is_an_argument_of_the_class() -> None:
    spec = """
    spec: 1
    name: rows
    vars: {sizes: [2, 3]}
    inputs: {x: "float32[batch, 6]"}
    model:
      forward: return x.reshape(-1, *sizes)
    """
    artifact = compiler.compile_text(spec)
    assert run_file(artifact.source, "Rows")(torch.ones(4, 6)).shape == (4, 2, 3)
    assert runtime.build(compiler.compile_text(spec, set={"sizes": [6]}))(torch.ones(4, 6)).shape == (4, 6)


def refused(form: str) -> list[str]:
    spec = f"""
    spec: 1
    inputs: {{x: "float32[2, 3, 4]"}}
    model:
      layers: {{fc: Linear(4)}}
      buffers: {{mean: {{value: "zeros([4])", updated: true}}}}
      forward: |
        y = fc(x) + mean
        return {form}
    """
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(spec)
    return [f"{each.code}: {each.message}" for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("fc(*[x])", "not-in-language: `*` in a call of `fc` is not part of the language"),
        ("dropout(*[x])", "not-in-language: `*` in a call of `dropout` is not part of the language"),
        (
            "batch_norm(*[x, mean])",
            "not-in-language: `*` in a call of `batch_norm` is not part of the language",
        ),
        ("max(*[1, 2]) * x", "not-in-language: `*` in a call of `max` is not part of the language"),
        ("x.view(**x)", "not-in-language: `**` in a call is not part of the language"),
        ("foo(*[x])", "unknown-operation: there is no layer or operation `foo`"),
        ("x.view(*3)", "not-iterable: a whole number has no items to go over"),
        ("x.view(*fc)", "not-iterable: `fc` has no items to go over"),
        ("x.view(*x.shape, fc)", "not-a-value: `fc` is a layer, not a value"),
        (
            "x.view(*x.shape[:2], 9)",
            "operation-failed: `view` refuses this: 24 elements do not fit into [2, 3, 9]",
        ),
        ("x.sum(*[0, 1, 2, 3, 4])", "too-many-arguments: `sum` takes at most 2 arguments without a name"),
    ],
)
def test_what_cannot_be_spread_is_said_in_its_place(form: str, problem: str) -> None:
    assert refused(form) == [problem]


def test_an_expression_outside_of_a_program_has_no_star() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text('spec: 1\ninputs: {x: "float32[2, 4]"}\nmodel: ["Linear(*[4])"]')
    assert caught.value.diagnostics[0].message == "`*` in a call is not part of the language"


PLACED = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  parameters: {a: {tensor: "float[8]", init: ones}, b: {tensor: "float[8]", init: ones}}
  layers: {f: Linear(8)}
  forward: |
    y = f(x).reshape(*x.shape[:1], 2, 4).reshape(*x.shape)
    return FORM
placement: [/: "cuda:0", b: "cuda:1"]
"""


@pytest.mark.parametrize("form", ["y + stack(broadcast_tensors(*[a, b])).sum(0)", "y.add(*[b])"])
def test_what_is_spread_lies_on_one_device(form: str) -> None:
    assert ".to(" in compiler.compile_text(PLACED.replace("FORM", "y * b")).source
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(PLACED.replace("FORM", form))
    assert [each.code for each in caught.value.diagnostics] == ["device-mix"]
