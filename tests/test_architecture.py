"""The design, guarded: which package may import which, and what no module may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spec_schema", "compiler", "runtime")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
BANNED_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml"}
THE_ONE_EXEC = "runtime/classes.py"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each imported module with its statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), node


def inside_functions(tree: ast.AST) -> set[ast.AST]:
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
        if inner is not node
    }


def is_type_checking(tree: ast.AST) -> set[ast.AST]:
    """Return what stands under `if TYPE_CHECKING:`."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_dependencies_go_in_one_direction(path: Path) -> None:
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).parts[0]
    deferred = inside_functions(tree) | is_type_checking(tree)
    composition_root = name_of(path).startswith(("compiler/cli/", "compiler/__main__"))
    for module, node in imports(tree):
        top = module.split(".")[0]
        if package == "spec_schema":
            assert top not in ("compiler", "runtime", "torch"), f"{name_of(path)} imports {module}"
        if package == "compiler" and top == "runtime":
            assert composition_root, f"{name_of(path)} imports {module}"
            assert node in deferred, f"{name_of(path)} imports {module} outside a function"
        assert top not in BANNED_MODULES, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_runs_text(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("eval", "exec", "__import__"):
            assert (name_of(path), node.id) == (THE_ONE_EXEC, "exec"), f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save"):
            pytest.fail(f"{name_of(path)}:{node.lineno} uses {ast.unparse(node)}")


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=name_of)
def test_no_logic_in_init_files(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        documentation = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        public_names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        assert documentation or public_names or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(
            node
        )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_exception_is_passed_over_in_silence(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name_of(path)}:{node.lineno} catches everything"
            silent = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not silent, f"{name_of(path)}:{node.lineno} passes an error over"
