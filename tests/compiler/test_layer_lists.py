"""Lists that hold layers, as arguments of blocks: no class gets one, its layers stand in it."""

from __future__ import annotations

import ast
import builtins

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact, SpecError

BLOCKS = """
  Row(fs):
    - {repeat: fs, as: f, of: f}
  Outer(gs):
    - Row(gs)
    - {residual: {repeat: gs, as: g, of: g}}
  Rows(rows, last=[ReLU]):
    - {repeat: rows, as: [act, width], splice: ["Linear(width)", act]}
    - {repeat: "len(rows[1:] + [Tanh])", of: "Linear(rows[0][1])"}
    - {if: len(rows) > 1 and len(last) == 1, then: ReLU}
  Called(fs):
    layers: {f: {repeat: fs, as: f, of: f}}
    forward: |
      for layer in f:
        x = layer(x) * len(fs)
      return x
  Maybe(width, act=ReLU, depth=2):
    - repeat: depth
      of: {if: act is not None and index > 0, then: act, else: Linear(width)}
"""


def made(*items: str) -> Artifact:
    listed = "\n".join(f'  - "{item}"' for item in items)
    return compiler.compile_text(
        f"spec: 1\ninputs: {{x: 'float[batch, 4]'}}\nblocks:\n{BLOCKS}\nmodel:\n{listed}\n"
    )


def by_hand(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def same(artifact: Artifact, other: nn.Module) -> None:
    """Check that a model computes as a module written by hand, with the weights of the one in the other."""
    model = runtime.build(artifact, seed=0)
    other.load_state_dict(dict(zip(other.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(3, 4)
    found: Tensor = model(x)
    assert torch.equal(found, other(x))


def test_the_layers_stand_in_the_class() -> None:
    artifact = made("Row([ReLU, Linear(3)])")
    assert "nn.Sequential(Row())" in artifact.source or "super().__init__(Row())" in artifact.source
    same(artifact, by_hand(nn.ReLU(), nn.Linear(4, 3)))


def test_other_layers_are_another_class() -> None:
    artifact = made("Row([Linear(3), Tanh])", "Row([GELU, Linear(2)])", "Row([Linear(3), Tanh])")
    assert artifact.source.count("class Row") == 2
    same(
        artifact,
        by_hand(nn.Linear(4, 3), nn.Tanh(), nn.GELU(), nn.Linear(3, 2), nn.Linear(2, 3), nn.Tanh()),
    )


def test_a_list_that_is_handed_on() -> None:
    class Residual(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            inner: Tensor = super().forward(x)
            return x + inner

    other = by_hand(nn.Linear(4, 4), nn.Tanh(), Residual(nn.Linear(4, 4), nn.Tanh()))
    same(made("Outer([Linear(4), Tanh])"), other)


def test_rows_with_layers_in_them_and_what_is_computed_with_them() -> None:
    other = by_hand(
        *(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.GELU()),
        *(nn.Linear(6, 5), nn.Linear(5, 5), nn.ReLU()),
    )
    same(made("Rows([[Tanh, 5], [GELU, 6]])"), other)


def test_an_empty_list_beside_one_of_layers() -> None:
    artifact = made("Rows([[Tanh, 5]], last=[])", "Row([])", "Row([Linear(3)])")
    same(artifact, by_hand(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 3)))


def test_a_program_asks_for_the_length() -> None:
    class Other(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self:
                x = layer(x) * 2
            return x

    same(made("Called([Linear(4), Tanh])"), Other(nn.Linear(4, 4), nn.Tanh()))


@pytest.mark.parametrize("act", ["", ", act=None", ", act=Tanh"])
def test_whether_there_is_a_layer(act: str) -> None:
    layer = {"": nn.ReLU(), ", act=None": nn.Linear(3, 3), ", act=Tanh": nn.Tanh()}[act]
    same(made(f"Maybe(3{act})", "Maybe(2)"), by_hand(nn.Linear(4, 3), layer, nn.Linear(3, 2), nn.ReLU()))


@pytest.mark.parametrize(
    "items",
    [
        ("Row([ReLU, Linear(3)])", "Outer([Linear(3), Tanh, Linear(3)][1:])"),
        ("Rows([[Tanh, 5], [GELU, 6]])", "Rows([[ReLU, 5]], last=[])", "Row([])"),
        ("Maybe(3)", "Maybe(3, act=None)"),
    ],
)
def test_every_name_of_the_source_has_a_value(items: tuple[str, ...]) -> None:
    tree = ast.parse(made(*items).source)
    nodes = list(ast.walk(tree))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)} | {
        n.name for n in nodes if isinstance(n, ast.ClassDef)
    }
    bound |= {
        a.asname or a.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert read <= bound | set(dir(builtins))


def test_a_layer_is_no_value() -> None:
    with pytest.raises(SpecError) as caught:
        compiler.compile_text("""
spec: 1
inputs: {x: 'float[batch, 4]'}
blocks:
  Stack(fs, n):
    - repeat: n
      of: {if: "index < len(fs * 2)", then: ReLU, else: Tanh}
model: ["Stack([ReLU], 3)"]
""")
    assert [each.code for each in caught.value.diagnostics] == ["not-a-value"]
