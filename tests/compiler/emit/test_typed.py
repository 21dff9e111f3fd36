"""Methods that torch has no types for are written as its functions, so that a type checker accepts the file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import compiler
import runtime
from compiler.emit.passes.typed import call_typed_functions
from tests.emitted_file import class_of
from tests.type_checker import refusal

SPEC = """
spec: 1
name: Parts
inputs: {x: "float32[6, 4]"}
model:
  layers: {proj: Linear(6)}
  parameters: {weight: {tensor: "float[4, 6]", init: ones}}
  forward: |
    y = x * 2
    a, b = y.split(split_size=2, dim=1)
    c, _ = proj(x).split([3, 3], dim=1)
    d = weight.split(3, dim=1)[0]
    return cat([a + b, c @ d.mT], dim=1), y.unflatten(0, [2, 3])
"""

FROZEN = """
spec: 1
name: Parts
inputs: {x: "float32[6, 4]"}
blocks:
  Pair:
    layers: {up: Linear(8), down: Linear(4)}
    forward: return x + down(relu(up(x)))
model:
  layers: {a: [inner: Pair], b: {repeat: 2, of: Pair}, c: Pair}
  forward: return c(b(a(x)))
freeze: [a.inner.up, a.inner.down.weight, "b[0].up", c.down]
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x.split(2)", "torch.split(x, 2)"),
        ("x.split(split_size=[1, 2], dim=1)", "torch.split(x, split_size_or_sections=[1, 2], dim=1)"),
        ("x.mean(0).unflatten(0, (1, 2))", "torch.unflatten(x.mean(0), 0, (1, 2))"),
        ("self.weight.split(2)", "torch.split(self.weight, 2)"),
        ("x.split(2)[0].split(1)", "torch.split(x, 2)[0].split(1)"),
        ("[y.unique() for y in x.split(2)]", "[torch.unique(y) for y in torch.split(x, 2)]"),
    ],
)
def test_a_tensor(value: str, expected: str) -> None:
    assert typed(value) == expected


@pytest.mark.parametrize(
    "value",
    ["self.proj(x).split(2)", "torch.split(x, 2)", "self.proj(x).mT.unflatten(0, (1, 2))", "x.chunk(2)"],
)
def test_what_stays(value: str) -> None:
    assert typed(value) == value


def typed(value: str) -> str:
    tree = ast.parse(f"def forward(self, x):\n    return {value}")
    return ast.unparse(ast.fix_missing_locations(call_typed_functions(tree))).rsplit("return ", 1)[1]


def test_a_whole_file(tmp_path: Path) -> None:
    artifact = compiler.compile_text(SPEC)
    model, x = runtime.build(artifact, device="cpu"), torch.randn(6, 4)
    alone = class_of(artifact.source, artifact.name)()
    alone.load_state_dict(model.state_dict())
    for ours, theirs in zip(alone(x), model(x), strict=True):
        assert torch.equal(ours, theirs)
    assert_typed(artifact.source, tmp_path)


def test_what_is_frozen_inside_of_containers(tmp_path: Path) -> None:
    """By its attributes as far as a type checker follows them, and by its whole name beyond that."""
    artifact = compiler.compile_text(FROZEN)
    names = {name for name, p in runtime.build(artifact).named_parameters() if not p.requires_grad}
    alone = class_of(artifact.source, artifact.name)()
    assert {name for name, p in alone.named_parameters() if not p.requires_grad} == names
    assert [line.strip() for line in artifact.source.splitlines() if "requires_grad_" in line] == [
        'self.get_submodule("a.inner.up").requires_grad_(False)',
        "self.b[0].up.requires_grad_(False)",
        "self.c.down.requires_grad_(False)",
        'self.get_parameter("a.inner.down.weight").requires_grad_(False)',
    ]
    assert_typed(artifact.source, tmp_path)


def test_what_stays_in_evaluation_inside_of_containers(tmp_path: Path) -> None:
    artifact = compiler.compile_text(
        """
spec: 1
inputs: {x: "float[batch, 5]"}
model:
  layers:
    a: [{norm: BatchNorm1d}, {inner: [{norm: BatchNorm1d}]}]
    b: [BatchNorm1d]
  forward: return b(a(x))
freeze: [a, b]
"""
    )
    source = artifact.source
    assert [line.strip() for line in source.splitlines() if ".eval()" in line] == [
        'self.get_submodule("a.norm").eval()',
        'self.get_submodule("a.inner.norm").eval()',
        "self.b[0].eval()",
    ]
    alone = class_of(source, artifact.name)().train()
    assert [name for name, part in alone.named_modules() if "norm" in name and part.training] == []
    assert_typed(source, tmp_path)


def test_what_is_parametrised_inside_of_containers(tmp_path: Path) -> None:
    artifact = compiler.compile_text(
        """
spec: 1
inputs: {x: "float[batch, 5]"}
model:
  layers:
    a: [{up: Linear(4)}, {inner: [{down: Linear(4)}, ReLU]}]
    b: {repeat: 2, of: Linear(4)}
  forward: return b(a(x))
parametrize: [{Linear.weight: weight_norm}]
"""
    )
    model = runtime.build(artifact, device="cpu")
    alone = class_of(artifact.source, artifact.name)()
    alone.load_state_dict(model.state_dict())
    assert "a.inner.down.parametrizations.weight.original0" in model.state_dict()
    assert_typed(artifact.source, tmp_path)


def assert_typed(source: str, folder: Path) -> None:
    (folder / "parts.py").write_text(source)
    assert refusal(folder) == ""
