"""The architecture, guarded: which package may import which, and what no source of the project may call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spec_schema", "compiler", "runtime")
MAY_IMPORT = {"spec_schema": set(), "compiler": {"spec_schema"}, "runtime": {"spec_schema", "compiler"}}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
INITS = [path for path in SOURCES if path.name == "__init__.py"]

COMMAND_LINE = ("compiler/cli/", "compiler/__main__.py")
"""The composition root: the one place in the compiler that may import the runtime, inside a function."""
HEAVY = {"torch", "einops", "safetensors", "pytorch_lightning", "torchmetrics", "numpy"}
"""What the schema of a spec does not need."""

BANNED_NAMES = {"eval", "exec", "__import__", "compile"}
"""Builtins that run text. `compile` of this project is another one."""
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
BANNED = {
    *("torch.load", "torch.save", "torch.serialization.load", "builtins.eval", "builtins.exec"),
    *("np.load", "numpy.load", "npy.read_array", "yaml.load"),
}
ALLOWED = {
    ("runtime/classes.py", "exec"),
    ("runtime/classes.py", "compile"),
    ("compiler/verify.py", "builtins.__import__"),
    ("runtime/training/arrays.py", "npy.read_array"),
}
"""The emitted source runs in one place, after it was verified, with one guarded import. Arrays hold no objects."""


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each module that a file imports, and whether a function does."""
    inside = {id(n) for f in ast.walk(tree(path)) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}: imports are absolute"
            names = [str(node.module)]
        for name in names:
            yield name, id(node) in inside


def type_checking(path: Path) -> set[str]:
    """Return the modules that a file imports for its annotations alone."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found |= {str(each.module) for each in node.body if isinstance(each, ast.ImportFrom)}
            found |= {a.name for each in node.body if isinstance(each, ast.Import) for a in each.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_imports_go_in_one_direction(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name, in_function in imports(path):
        top = name.partition(".")[0]
        if top not in PACKAGES or top == package or top in MAY_IMPORT[package]:
            continue
        assert (package, top) == ("compiler", "runtime"), f"{shown(path)} imports {name}"
        assert shown(path).startswith(COMMAND_LINE), f"{shown(path)} imports {name}"
        assert in_function or name in type_checking(path), f"{shown(path)} imports {name} outside a function"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "spec_schema")], ids=shown)
def test_the_schema_knows_nothing_of_torch(path: Path) -> None:
    assert {name.partition(".")[0] for name, _ in imports(path)} & HEAVY == set()


@pytest.mark.parametrize("path", INITS, ids=shown)
def test_an_init_holds_no_logic(path: Path) -> None:
    if shown(path) == "spec_schema/codes/__init__.py":
        return  # two functions that read the pages beside it
    for node in tree(path).body:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        assert text or names or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)


def runs_text(path: Path) -> Iterator[str]:
    """Yield each name or attribute in a file that would run text, or read files that can."""
    imported = {
        alias.name for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom) for alias in n.names
    }
    defined = {n.name for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name) and node.id in BANNED_NAMES - imported - defined:
            yield node.id
        elif isinstance(node, ast.Attribute) and (node.attr == "__import__" or ast.unparse(node) in BANNED):
            yield ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_nothing_runs_text(path: Path) -> None:
    found = {(shown(path), what) for what in runs_text(path)}
    assert found - ALLOWED == set()
    assert {name.partition(".")[0] for name, _ in imports(path)} & BANNED_MODULES == set()


def test_the_guards_have_something_to_guard() -> None:
    """The exceptions are there: a test that finds nothing at all would not find anything new either."""
    found = {(shown(path), what) for path in SOURCES for what in runs_text(path)}
    assert found >= ALLOWED
    assert any(name == "runtime" or name.startswith("runtime.") for p in SOURCES for name, _ in imports(p))


def test_arrays_are_read_without_objects() -> None:
    calls = [n for n in ast.walk(tree(ROOT / "runtime/training/arrays.py")) if isinstance(n, ast.Call)]
    loads = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "npy.read_array"]
    assert loads
    assert all("allow_pickle=False" in load for load in loads)


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_no_exception_is_passed_over_in_silence(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{shown(path)}:{node.lineno} catches everything"
            silent = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not silent, f"{shown(path)}:{node.lineno} passes an error over"


@pytest.mark.parametrize("path", sorted((ROOT / "compiler" / "cli").glob("*.py")), ids=shown)
def test_the_command_line_prints_what_is_safe_to_show(path: Path) -> None:
    """JSON is; all else goes through `say` or a console, which see to it."""
    if path.name in ("console.py", "outcome.py"):
        return
    calls = [n for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and ast.unparse(n.func) == "print"]
    for call in calls:
        assert not call.args or ast.unparse(call.args[0]).startswith("json.dumps("), ast.unparse(call)


def test_errors_of_ours_are_safe_to_show() -> None:
    """An error that quotes is a `ShownError` or a `SpecError`; the others stay inside, and become one of these."""
    classes = [n for p in SOURCES for n in ast.walk(tree(p)) if isinstance(n, ast.ClassDef)]
    bare = {n.name for n in classes if any(ast.unparse(base) == "Exception" for base in n.bases)}
    assert bare == {
        "ShownError",
        "SpecError",
        "OutsideError",
        "NoFileError",
        "DependsOnData",
        "UnknownSizeError",
        "UncountedError",
        "CannotInfer",
        "UnliftableError",
        "NotCopiedError",
        "UnspokenError",
        "UnsaidWriteError",
        "ValuesNeeded",
        "DiffersError",
        "NotTakenError",
        "Skip",
        "Differs",
    }
