"""Classes of one block in emitted source: equal ones are one, and one layer in which they differ is an argument."""

from __future__ import annotations

import ast
import textwrap

import pytest
import torch

import compiler
import runtime
from compiler import Artifact
from compiler.emit.passes.merging import Origin, merge_classes
from tests.zoo.parity import stand_alone


def made(body: str) -> Artifact:
    artifact = compiler.compile_text('spec: 1\ninputs: {x: "float[batch, 4]"}\n' + textwrap.dedent(body))
    model, alone = runtime.build(artifact, seed=0), stand_alone(artifact)
    assert list(alone.state_dict()) == list(model.state_dict())
    alone.load_state_dict(model.state_dict())
    x = torch.randn(3, 4)
    assert torch.equal(alone(x), model(x))
    return artifact


def test_a_layer_in_which_classes_differ_is_an_argument() -> None:
    source = made("""
        blocks:
          MLP(width, act): [Linear(width), act]
        model: ["MLP(8, ReLU)", "MLP(4, ReLU)", "MLP(8, GELU)", "MLP(4, GELU)"]
    """).source
    assert source.count("class MLP") == 1
    assert (
        "def __init__(self, width: int, *, act: Callable[[], nn.Module], in_features: int) -> None:" in source
    )
    assert "super().__init__(nn.Linear(in_features, width), act())" in source
    assert "MLP(8, act=nn.GELU, in_features=4)" in source
    assert source.startswith("from collections.abc import Callable\n\n")


def test_an_argument_that_is_a_block() -> None:
    source = made("""
        blocks:
          One(width): [Linear(width), ReLU]
          Other(width): [Linear(width), Tanh, Linear(width)]
          Stack(block): [{repeat: 2, of: "block(4)"}]
        model: [Stack(One), Stack(Other)]
    """).source
    assert source.count("class Stack") == 1
    assert "super().__init__(*[block(width=4) for _ in range(2)])" in source
    assert "super().__init__(Stack(block=One), Stack(block=Other))" in source


def test_classes_that_are_equal_since_their_difference_is_not_seen() -> None:
    source = made("""
        blocks:
          Part(act, depth=2):
            layers: {first: Linear(4), act: act}
            forward: return first(x)
        model: [Part(ReLU), Part(Tanh)]
    """).source
    assert source.count("class Part") == 1


@pytest.mark.parametrize(
    "body",
    [
        """
        blocks:
          MLP(width, act): [Linear(width), act]
        model: ["MLP(8, ReLU)", "MLP(4, LeakyReLU(0.2))"]
        """,
        """
        blocks:
          MLP(act, norm): [act, norm, Linear(4)]
        model: ["MLP(ReLU, LayerNorm)", "MLP(Tanh, RMSNorm)"]
        """,
    ],
)
def test_classes_that_differ_in_more_stay_two(body: str) -> None:
    assert made(body).source.count("class MLP") == 2


def test_equal_blocks_with_names_of_their_own_stay_two() -> None:
    source = made("""
        blocks:
          Encoder: [Linear(4), ReLU]
          Decoder: [Linear(4), ReLU]
        model: [Encoder, Decoder]
    """).source
    assert "class Encoder" in source
    assert "class Decoder" in source


def test_a_class_that_is_handed_on_stays() -> None:
    tree = ast.parse("""
class A(nn.Module):
    def __init__(self):
        self.act = nn.ReLU()
class A2(nn.Module):
    def __init__(self):
        self.act = nn.Tanh()
class Net(nn.Module):
    def __init__(self):
        self.a = Stack(A)
        self.b = Stack(A2)
""")
    before = ast.unparse(tree)
    origins = {"A": Origin("A", {"ReLU": "act"}), "A2": Origin("A", {"Tanh": "act"})}
    assert ast.unparse(merge_classes(tree, origins)) == before
