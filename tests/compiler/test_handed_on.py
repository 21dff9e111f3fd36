"""A block without a program takes what its first layer takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from tests.emitted_file import run_file
from tests.type_checker import refusal

SPEC = """
spec: 1
name: handing
inputs: {x: "float32[batch, 4, 8]", memory: "float32[batch, 5, 8]"}
blocks:
  Cross(dim):
    layers: {q: Linear(dim), kv: Linear(dim)}
    forward(x, memory, scale=1, other=dim): return q(x) @ kv(memory).mT * scale
  One: ["Cross(8)"]
  Two(of): [of, Linear(3)]
  Three(dim):
    layers: {attn: One, out: Linear(dim)}
  Long:
    - first: Cross(4)
    - repeat: 2
      of: Linear(5)
    - Softmax(dim=-1)
  Attention: ["MultiheadAttention(num_heads=2, batch_first=True)"]
model:
  layers: {a: One, b: Two(Cross(6)), c: Three(2), d: Long, e: Attention}
  forward: |
    one = a(x, memory) + d(x, memory, scale=2)
    attended, _ = e(x, memory, value=memory)
    return one, b(x, memory), c(x, memory=memory, scale=0.5), attended
"""


class Cross(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.q, self.kv = nn.Linear(8, dim), nn.Linear(8, dim)

    def forward(self, x: Tensor, memory: Tensor, scale: float = 1) -> Tensor:
        result: Tensor = self.q(x) @ self.kv(memory).mT * scale
        return result


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.ModuleList([Cross(8)])
        self.b = nn.ModuleList([Cross(6), nn.Linear(5, 3)])
        self.c = nn.ModuleDict({"attn": nn.ModuleList([Cross(8)]), "out": nn.Linear(5, 2)})
        self.d = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
        self.d = nn.ModuleList()
        self.d.add_module("first", Cross(4))
        self.d.add_module("1", nn.Linear(5, 5))
        self.d.add_module("2", nn.Linear(5, 5))
        self.e = nn.ModuleList([nn.MultiheadAttention(8, 2, batch_first=True)])

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        d = self.get_submodule("d.first")(x, memory, 2)
        for name in ("d.1", "d.2"):
            d = self.get_submodule(name)(d)
        one = self.a[0](x, memory) + d.softmax(dim=-1)
        c = self.get_submodule("c.out")(self.get_submodule("c.attn.0")(x, memory, 0.5))
        return one, self.b[1](self.b[0](x, memory)), c, self.e[0](x, memory, memory)[0]


def test_keys_outputs_and_gradients_are_those_of_the_module_by_hand() -> None:
    model, by_hand = runtime.build(compiler.compile_text(SPEC), device="cpu", seed=0), ByHand()
    assert set(model.state_dict()) == set(by_hand.state_dict())
    by_hand.load_state_dict(model.state_dict())
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    ours, theirs = model(x, memory), by_hand(x, memory)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    sum(each.square().sum() for each in ours).backward()
    sum(each.square().sum() for each in theirs).backward()
    expected = dict(by_hand.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name].grad, atol=1e-4), name  # type: ignore[arg-type]


def test_the_emitted_file_alone_is_the_model_and_is_typed(tmp_path: Path) -> None:
    artifact = compiler.compile_text(SPEC)
    path = tmp_path / "handing.py"
    path.write_text(artifact.source)
    assert refusal(tmp_path) == ""
    model = runtime.build(artifact, device="cpu", seed=0)
    alone = run_file(artifact.source, "Handing")
    alone.load_state_dict(model.state_dict())
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    assert all(torch.equal(a, b) for a, b in zip(alone(x, memory), model(x, memory), strict=True))


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    runtime.save(model, tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors")
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    assert torch.equal(again(x, memory)[1], model(x, memory)[1])


PLACED = """
spec: 1
inputs: {x: "float[batch, 8]", y: "float[batch, 8]"}
blocks:
  Row: [Bilinear(8), Linear(8)]
model:
  layers: {first: Linear(8), row: Row}
  forward: return row(first(x), y)
placement:
  - first: cuda:0
  - row.0: cuda:1
  - row.1: cuda:2
"""


def test_all_inputs_move_to_the_first_layer() -> None:
    source = compiler.compile_text(PLACED).source
    assert "self[0](input1.to(self[0].weight.device), input2.to(self[0].weight.device))" in source
    assert "self[1](input1.to(self[1].weight.device))" in source


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("return a(x)", "`One` needs the input `memory`"),
        ("return a(x, memory, 1, 2)", "`One` takes 3 inputs, and gets 4"),
        ("return a(x, memory, scal=1)", "`a` has no input `scal`"),
    ],
)
def test_what_the_first_layer_does_not_take_is_refused(program: str, message: str) -> None:
    head = SPEC.partition("  forward: |\n    one")[0]
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f"{head}  forward: {program}\n")
    assert message in caught.value.diagnostics[0].message
