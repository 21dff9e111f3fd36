"""Containers in emitted source: a `ModuleList` for layers taken one by one, a `Sequential` for what is called."""

from __future__ import annotations

import ast

import pytest
import torch

import compiler
import runtime
from compiler.emit.passes.containers import choose_containers
from tests.zoo.parity import stand_alone


def chosen(
    forward: str, layers: str = "nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)])", more: str = ""
) -> str:
    tree = ast.parse(f"""
class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.layers = {layers}

    def forward(self, x):
        {forward}
{more}""")
    constructor = ast.unparse(choose_containers(tree).body[0]).split("self.layers = ")[1]
    return constructor.splitlines()[0]


@pytest.mark.parametrize(
    "forward",
    [
        "return self.layers[0](x)",
        "return [layer(x) for layer in self.layers]",
        "return [layer(x) for layer in self.layers[1:][::-1]]",
        "return [a(b) for a, b in zip(self.layers, x)]",
        "return [a(b) for a, b in zip(reversed(self.layers), [*self.layers])]",
        "return self.layers[0](x) + next(self.layers.parameters())",
    ],
)
def test_layers_that_are_taken_one_by_one(forward: str) -> None:
    assert chosen(forward) == "nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])"


def test_the_form_of_the_list() -> None:
    assert chosen("return self.layers[0](x)", "nn.Sequential(a, b)") == "nn.ModuleList([a, b])"
    assert chosen("return self.layers[0](x)", "nn.Sequential(a, *b)") == "nn.ModuleList([a, *b])"
    assert chosen("return self.layers[0](x)", "nn.Sequential(*rows)") == "nn.ModuleList(rows)"


@pytest.mark.parametrize(
    "forward",
    [
        "return self.layers(x)",
        "return self.layers(self.layers[0](x))",
        "return self.layers[1:](x)",
        "f = self.layers[:2]",
        "return f(self.layers)",
        "return self.layers.head(x)",
        "return x",
    ],
)
def test_layers_that_are_called_as_a_whole(forward: str) -> None:
    assert chosen(forward).startswith("nn.Sequential(")


def test_a_list_that_another_class_calls() -> None:
    more = "class Outer(nn.Module):\n    def forward(self, x):\n        return self.net.layers(x)"
    assert chosen("return self.layers[0](x)", more=more).startswith("nn.Sequential(")
    more = more.replace("layers(x)", "layers[0](x)")
    assert chosen("return self.layers[0](x)", more=more).startswith("nn.ModuleList(")


@pytest.mark.parametrize("base", ["nn.Sequential", "nn.ModuleDict", "Relay"])
def test_a_list_in_a_list_is_called_by_that(base: str) -> None:
    body = "self.a = nn.Sequential(b)\n        self.a[0].eval()"
    source = f"class Net({base}):\n\n    def __init__(self):\n        {body}"
    assert ast.unparse(choose_containers(ast.parse(source))) == source


def test_a_spec_has_the_same_keys_and_outputs() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 4]"}
model:
  layers:
    parts: {repeat: 2, of: Linear(4)}
    body: {repeat: 2, of: Linear(4)}
  forward: |
    for part in parts:
      x = part(x)
    return body(x)
""")
    assert "self.parts = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])" in artifact.source
    assert "self.body = nn.Sequential(*[nn.Linear(4, 4) for _ in range(2)])" in artifact.source
    model, alone = runtime.build(artifact, seed=0), stand_alone(artifact)
    assert [*model.state_dict()] == [*alone.state_dict()]
    assert [*model.state_dict()][:2] == ["parts.0.weight", "parts.0.bias"]
    alone.load_state_dict(model.state_dict())
    x = torch.randn(3, 4)
    assert torch.equal(model(x), alone(x))
