"""`walk` yields what `ast.walk` does, but for whether names are read or bound."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from spec_schema import walk as module
from spec_schema.walk import walk

FILES = sorted(Path(module.__file__).parents[1].glob("compiler/emit/**/*.py"))


@pytest.mark.parametrize("path", FILES[::9], ids=lambda path: path.name)
def test_the_nodes_of_a_file(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert list(walk(tree)) == [n for n in ast.walk(tree) if not isinstance(n, ast.expr_context)]


def test_a_node_that_is_changed_when_it_is_yielded_is_gone_into_as_it_was() -> None:
    for walked in (walk, ast.walk):
        tree = ast.parse("f(x)", mode="eval")
        seen = []
        for node in walked(tree):
            seen.append(type(node).__name__)
            if isinstance(node, ast.Call):
                node.args = []
        assert seen[:4] == ["Expression", "Call", "Name", "Name"]
