"""Lists that a program begins empty say what they are going to hold."""

from __future__ import annotations

import ast
import textwrap

import pytest

from compiler.emit.passes.lists import annotate_lists


def annotated(body: str, name: str = "forward") -> str:
    tree = ast.parse(f"def {name}(self, x, zs):\n" + textwrap.indent(body, "    "))
    return textwrap.dedent(ast.unparse(ast.fix_missing_locations(annotate_lists(tree))).split("\n", 1)[1])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("ys = []", "ys: list[Tensor] = []"),
        ("now, ys = x, []", "now = x\nys: list[Tensor] = []"),
        ("x, ys = self.a(x), []", "x = self.a(x)\nys: list[Tensor] = []"),
        ("for t in x:\n    ys = []", "for t in x:\n    ys: list[Tensor] = []"),
    ],
)
def test_an_empty_list_has_an_annotation(body: str, expected: str) -> None:
    assert annotated(body) == expected


@pytest.mark.parametrize(
    "body", ["ys = [x]", "zs = []", "ys = [x]\nys = []", "x, ys, y = (x, [], x)", "now, (ys, z) = (x, [], x)"]
)
def test_everything_else_stays(body: str) -> None:
    assert annotated(body) == ast.unparse(ast.parse(body))


def test_a_constructor_is_left_alone() -> None:
    assert annotated("ys = []", "__init__") == "ys = []"
