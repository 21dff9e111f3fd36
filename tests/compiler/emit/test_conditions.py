"""Constants among `and`, `or` and `not`: a value stays what it is, and a condition has none that decide nothing."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

import compiler
from compiler.emit.expressions import condition
from tests.emitted_file import class_of

SPEC = """
spec: 1
vars: {k: 2, drop: 0}
inputs: {x: "float32[batch, 8]"}
"""


def source_of(program: str) -> tuple[str, nn.Module]:
    """Return the source of a block that two instances give a number, and the model of its file."""
    body = "".join(f"      {line}\n" for line in program.splitlines())
    text = f"{SPEC}blocks:\n  Block(k):\n    forward: |\n{body}model: [Block(k), Block(0), Linear(k and 4)]\n"
    artifact = compiler.compile_text(text)
    return artifact.source, class_of(artifact.source, artifact.name)()


@pytest.mark.parametrize(
    ("program", "first", "second"),
    [
        ("return x * (k and 3)", 3, 0),
        ("return x * (k or 3)", 2, 3),
        ("return x * (training and 3)", 3, 3),
        ("return x * (k and drop)", 0, 0),
        ("return x * (1 and k)", 2, 0),
    ],
)
def test_a_value_that_a_constant_gives(program: str, first: int, second: int) -> None:
    _, model = source_of(program)
    blocks = list(model)  # type: ignore[call-overload]
    assert [block(torch.ones(1)).item() for block in blocks[:2]] == [first, second]
    assert blocks[2].out_features == 4


@pytest.mark.parametrize(
    "test", ["training and drop > 0", "drop > 0 and training", "not (not training or drop == 0)"]
)
def test_a_branch_that_a_constant_closes_is_not_written(test: str) -> None:
    program = f"if {test}:\n  x = 2 * x\nreturn x if not ({test}) else 3 * x"
    source, model = source_of(program)
    assert "training" not in source
    assert torch.equal(model[0](torch.ones(1)), torch.ones(1))  # type: ignore[index]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a and True", "a"),
        ("a and 3", "a"),
        ("a or 0", "a"),
        ("a and b and True", "a and b"),
        ("a and False", "False"),
        ("a or b or 3", "True"),
        ("not (a and False)", "True"),
        ("a and (b or True)", "a"),
        ("(a and False) and f()", "False"),
        ("True and 1", "True"),
        ("f() and False", "f() and False"),  # a call may draw a number
        ("a.b(c) or True", "a.b(c) or True"),
    ],
)
def test_a_condition(written: str, expected: str) -> None:
    assert ast.unparse(condition(ast.parse(written, mode="eval").body)) == expected
