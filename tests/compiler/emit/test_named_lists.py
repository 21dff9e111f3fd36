"""Lists whose layers have names, as emitted source makes them: attribute by attribute, and no dictionary."""

from __future__ import annotations

import textwrap

import pytest
import torch

import compiler
import runtime
from compiler import Artifact
from tests.zoo.parity import stand_alone


def made(body: str) -> Artifact:
    text = 'spec: 1\nname: net\ninputs: {x: "float[batch, 4]"}\n' + textwrap.dedent(body)
    artifact = compiler.compile_text(text)
    model, alone = runtime.build(artifact, seed=0), stand_alone(artifact)
    assert list(alone.state_dict()) == list(model.state_dict())
    alone.load_state_dict(model.state_dict())
    x = torch.randn(3, 4)
    assert torch.equal(alone(x), model(x))
    return artifact


def root(artifact: Artifact) -> str:
    """Return the body of the constructor of the root class."""
    constructor = artifact.source.split("class Net(", 1)[1].split("def forward")[0].split("-> None:\n", 1)[1]
    return textwrap.dedent(constructor).strip()


def test_a_class_of_named_layers_has_them_as_attributes() -> None:
    artifact = made("model: [{up: Linear(8)}, ReLU, {down: Linear(4)}]")
    assert "class Net(nn.Sequential):" in artifact.source
    assert (
        root(artifact)
        == textwrap.dedent("""
        super().__init__()
        self.up = nn.Linear(4, 8)
        self.append(nn.ReLU())
        self.down = nn.Linear(8, 4)
    """).strip()
    )
    assert [*runtime.build(artifact)._modules] == ["up", "1", "down"]


def test_names_that_a_template_makes() -> None:
    artifact = made("""
        model:
          - {repeat: 3, of: Linear(4), name: "layer{index + 1}"}
          - Tanh
    """)
    assert (
        root(artifact)
        == textwrap.dedent("""
        super().__init__()
        for index in range(3):
            self.add_module(f"layer{index + 1}", nn.Linear(4, 4))
        self.append(nn.Tanh())
    """).strip()
    )


def test_a_list_without_a_class_is_made_first() -> None:
    artifact = made("""
        model:
          layers:
            body: [{up: Linear(8)}, ReLU]
            tail: {repeat: 2, of: [{each: Linear(4)}, Tanh]}
          forward: "return tail(body(x)[:, :4])"
    """)
    assert (
        root(artifact)
        == textwrap.dedent("""
        super().__init__()
        self.body = nn.Sequential()
        self.body.add_module("up", nn.Linear(4, 8))
        self.body.append(nn.ReLU())
        tail: list[nn.Module] = []
        for _ in range(2):
            layers = nn.Sequential()
            layers.add_module("each", nn.Linear(4, 4))
            layers.append(nn.Tanh())
            tail.append(layers)
        self.tail = nn.Sequential(*tail)
    """).strip()
    )


def test_positions_behind_a_layer_that_runs_again() -> None:
    artifact = made("model: [{shared: Linear(4)}, ReLU, shared, Tanh, Linear(4)]")
    assert [*runtime.build(artifact)._modules] == ["shared", "1", "3", "4"]
    assert "self.add_module(str(len(self) + 1), nn.Tanh())" in artifact.source


@pytest.mark.parametrize(
    "body",
    [
        "model: [{a: {if: true, then: [{b: Linear(4)}]}}, {residual: [{c: Linear(4)}, ReLU]}]",
        """
        blocks:
          Part(wide): [{if: wide, then: [{a: Linear(8)}, ReLU], else: [{b: Linear(3)}]}, Linear(4)]
        model: [Part(True), Part(False)]
        """,
        """
        model:
          - parallel: {one: [{a: Linear(4)}, Tanh], other: Linear(4)}
            combine: add
        """,
        """
        blocks:
          Part(depth):
            - {repeat: depth, splice: [{"at{index}": Linear(4)}, ReLU]}
            - {last: Linear(4)}
        model: [Part(2), Part(0), {self_: Part(1)}]
        """,
        "model: [{body: [{layers: [{body: Linear(4)}]}]}]",
    ],
)
def test_named_lists_wherever_they_stand(body: str) -> None:
    assert "OrderedDict" not in made(body).source
