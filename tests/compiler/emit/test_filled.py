"""Containers that are filled item by item are filled where they stand."""

from __future__ import annotations

import ast
import textwrap

import pytest

from compiler.emit.passes.filled import fill_in_place


def rewritten(body: str) -> str:
    tree = ast.parse(f"class A(nn.Module):\n    def __init__(self):\n{textwrap.indent(body, '        ')}")
    return "\n".join(map(ast.unparse, fill_in_place(tree).body[0].body[0].body))  # type: ignore[attr-defined]


def test_the_attribute_comes_first() -> None:
    before = "heads = nn.Sequential()\nheads.add_module('head', nn.Linear(2, 3))\nself.heads = heads"
    assert rewritten(before) == "self.heads = nn.Sequential()\nself.heads.add_module('head', nn.Linear(2, 3))"


def test_loops_and_conditions_fill_it_too() -> None:
    before = "body = nn.Sequential()\nfor index in range(3):\n    body.append(nn.ReLU())\nself.body = body"
    assert "for index in range(3):\n    self.body.append(nn.ReLU())" in rewritten(before)


def test_branches_have_containers_of_their_own() -> None:
    inner = "tail = nn.Sequential()\ntail.append(nn.Tanh())\nself.tail = tail"
    made = rewritten(f"if flag:\n{textwrap.indent(inner, '    ')}")
    assert made == "if flag:\n    self.tail = nn.Sequential()\n    self.tail.append(nn.Tanh())"


@pytest.mark.parametrize(
    "body",
    [
        "a = nn.Sequential()\na.append(nn.ReLU())\nself.a = nn.ReLU()",
        "a = nn.Sequential()\na.append(nn.ReLU())\nself.a = a\nself.b = nn.Sequential(a)",
        "a = nn.Sequential(nn.ReLU())\nself.a = a",
        "a = nn.Linear(2, 3)\nself.a = a",
        "a = nn.Sequential()\nwidth = a.width\nself.a = a",
    ],
)
def test_what_is_read_otherwise_stays(body: str) -> None:
    assert rewritten(body) == body
