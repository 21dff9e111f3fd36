"""The table of passes: each file of a pass is in it, by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import compiler
from compiler.emit import passes
from compiler.emit.passes.table import LAST, NAMES, PASSES, run_passes

FILES = {path.stem for path in Path(*passes.__path__).glob("*.py")}
NO_PASSES = {"__init__", "functions", "table", "untyped"}
HEAD = "class A(nn.Module):\n\n    def __init__(self):\n        self.a = "
WRITTEN = "nn.Conv2d(1 * 2, 3, 4, groups=1)"
FINISHED = "nn.Conv2d(2, 3, 4)"


def after(name: str = LAST) -> str:
    """Return what the passes up to this one make of a layer."""
    return ast.unparse(run_passes(ast.parse(HEAD + WRITTEN), {}, name)).removeprefix(HEAD)


def test_each_pass_is_in_the_table_by_the_name_of_its_file() -> None:
    first, *names = NAMES
    assert first == "classes"
    assert sorted(names) == sorted(FILES - NO_PASSES)
    assert all(each.does for each in PASSES)


def test_the_passes_run_in_order_up_to_the_one_that_is_named() -> None:
    assert after("classes") == after("discarded") == WRITTEN
    assert after("constants") == "nn.Conv2d(2, 3, 4, groups=1)"
    assert after("defaults") == after() == FINISHED


def test_a_source_after_a_pass_is_no_part_of_the_artifact() -> None:
    made = compiler.compile_text(
        'spec: 1\ninputs: {x: "float[2, 3, 8, 8]"}\nmodel: ["Conv2d(4, 3, groups=1)"]\n'
    )
    assert "groups=1" in made.source_after("classes")
    assert "groups" not in made.source
    assert "groups" not in made.class_source


def test_a_name_of_no_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no pass `zipz`: the passes are classes, reshapes, "):
        after("zipz")
