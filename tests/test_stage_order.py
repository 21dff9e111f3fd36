"""The order of the stages, guarded: each imports only earlier ones, for annotations too, and no files in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spec_schema", "compiler", "runtime")
ORDER = (
    *("compiler.extras", "compiler.catalogue", "compiler.plugins", "compiler.devices"),
    *("compiler.load", "compiler.rule_records", "compiler.program"),
    *("compiler.resolve", "compiler.infer", "compiler.rules"),
    *("compiler.placement", "compiler.emit", "compiler.verify"),
    *("compiler.training", "compiler.mesh", "compiler.drawing", "compiler.artifact"),
    "compiler.checkpoint_mapping",
    *(
        "compiler.printing",
        "compiler.pipeline",
        "compiler.diff",
        "compiler.other_devices",
        "compiler.pickled",
    ),
    *("compiler.rewriting", "compiler.json_schema", "compiler.editor"),
    *("compiler", "compiler.cli", "compiler.__main__"),
)
"""The parts of the compiler, each before those that may import it."""
STAGES = ("load", "resolve", "infer", "rules", "placement", "emit", "verify")

Graph = Mapping[str, frozenset[str]]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> Mapping[str, Path]:
    """Return the files of the project by the modules that they are."""
    return {module_of(path): path for top in PACKAGES for path in sorted((ROOT / top).rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """Yield each module of the project that a file imports, wherever in it, and for whatever."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        for name in names:
            full = f"{node.module}.{name}" if isinstance(node, ast.ImportFrom) else name
            parent = str(node.module) if isinstance(node, ast.ImportFrom) else name
            yield from {full, parent} & modules().keys() if full not in modules() else {full}


@cache
def graph() -> Graph:
    """Return what each module imports."""
    return {module: frozenset(imported(path)) - {module} for module, path in modules().items()}


def part_of(module: str) -> str:
    """Return the part of the compiler that a module is, or is in."""
    return module if module in ORDER else ".".join(module.split(".")[:2])


def circle(imports: Graph) -> list[str]:
    """Return modules that import each other in a circle, none if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


COMPILER = [module for module in modules() if part_of(module).partition(".")[0] == "compiler"]


@pytest.mark.parametrize("module", COMPILER)
def test_a_part_of_the_compiler_imports_only_earlier_ones(module: str) -> None:
    own = ORDER.index(part_of(module))
    later = [name for name in graph()[module] & set(COMPILER) if ORDER.index(part_of(name)) > own]
    assert later == [], f"{module} imports what comes after {part_of(module)}"


def test_the_order_names_what_there_is() -> None:
    assert {part_of(module) for module in COMPILER} == set(ORDER)
    assert [part for part in ORDER if part.removeprefix("compiler.") in STAGES] == [
        f"compiler.{stage}" for stage in STAGES
    ]


def test_the_tree_for_contributors_is_in_this_order() -> None:
    """The lines that are indented further name files inside of a part."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tree = text[text.index("compiler/  ") : text.index("runtime/  ")]
    lines = [line for line in tree.splitlines()[1:] if not line.startswith("    ")]
    named = [word for line in lines for word in re.findall(r"[\w/]+(?:\.py|/)", line[:24])]
    parts = [f"compiler.{word.removesuffix('.py').rstrip('/')}" for word in named]
    assert parts == [part for part in ORDER if part != "compiler"]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(graph()) == []


def test_the_pipeline_calls_its_stages_in_this_order() -> None:
    """Seven calls in a row, each a stage."""
    tree = ast.parse((ROOT / "compiler/pipeline.py").read_text())
    (model,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "compile_model")
    calls = [n.func.id for n in ast.walk(model) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    verbs = ["place" if stage == "placement" else stage for stage in STAGES]
    assert [name for name in calls if name in verbs] == verbs


def test_a_circle_would_be_found() -> None:
    assert circle({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a")})
    assert not circle({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset()})


ENGINE = {
    f"compiler.infer.{name}"
    for name in ("engine", "interpreter", "statements", "leaves", "module_references", "build")
}
"""What runs programs while shapes are inferred. An artifact holds none of it."""


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith(("runtime", "compiler.cli"))])
def test_what_uses_an_artifact_does_not_reach_into_the_engine(module: str) -> None:
    assert graph()[module] & ENGINE == set()
