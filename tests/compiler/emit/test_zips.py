"""`zip` in emitted source: strict where the lengths are equal by construction, else as the language has it."""

from __future__ import annotations

import ast

import pytest
import torch

import compiler
import runtime
from compiler.emit.passes.zips import state_equal_lengths


def stated(call: str, before: str = "pass") -> str:
    tree = ast.parse(f"def f(self, a, b):\n    {before}\n    return {call}")
    return ast.unparse(state_equal_lengths(tree)).rsplit("return ", 1)[1]


@pytest.mark.parametrize(
    ("arguments", "before"),
    [
        ("[x for x in a], a", "pass"),
        ("c, a", "c = [x + 1 for x in a]"),
        ("[1, 2], (3, 4)", "pass"),
        ("[1, 2], c", "c = [3, 4]"),
        ("range(len(a)), a", "pass"),
        ("reversed(a), enumerate(a)", "pass"),
        ("self.layers, [x for x in self.layers]", "pass"),
    ],
)
def test_equal_lengths(arguments: str, before: str) -> None:
    assert stated(f"zip({arguments}, strict=False)", before) == f"zip({arguments}, strict=True)"


@pytest.mark.parametrize(
    ("arguments", "before"),
    [
        ("a, b", "pass"),
        ("[x for x in a if x], a", "pass"),
        ("[x for x in a for y in b], a", "pass"),
        ("[1, 2], [3]", "pass"),
        ("[*a, 2], [3, 4]", "pass"),
        ("c, a", "c = [x for x in a]; a = b"),
        ("c, d", "c = [1]; d = [x for x in c]; c.append(2)"),
        ("a[1:], a[1:]", "pass"),
        ("c, d", "for t in b:\n        d = a[t:]\n        if t == 0:\n            c = list(d)"),
    ],
)
def test_lengths_that_may_differ(arguments: str, before: str) -> None:
    assert stated(f"zip({arguments}, strict=False)", before) == f"zip({arguments}, strict=False)"


def test_a_program_that_says_it_itself() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 4]"}
model:
  layers: {parts: {repeat: 2, of: Linear(4)}}
  forward: |
    return sum([part(x) * factor for part, factor in zip(parts, [1, 2], strict=True)])
""")
    assert "zip(self.parts, [1, 2], strict=True)" in artifact.source
    assert runtime.build(artifact, seed=0)(torch.ones(2, 4)).shape == (2, 4)
