"""The last guard before emitted source runs: a walk over its tree that lets only known forms and names pass."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

IMPORTS = frozenset({"collections", "einops", "math", "torch", "torch.nn.functional"})
BUILTINS = frozenset(
    "abs enumerate float int len list max min object range reversed round str sum super tuple zip dict bool".split()
)
DUNDERS = frozenset({"__init__"})
NODES: tuple[type[ast.AST], ...] = (
    ast.Module,
    ast.Import,
    ast.ImportFrom,
    ast.alias,
    ast.ClassDef,
    ast.FunctionDef,
    ast.arguments,
    ast.arg,
    ast.Expr,
    ast.Assign,
    ast.Return,
    ast.If,
    ast.While,
    ast.For,
    ast.Pass,
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Slice,
    ast.Call,
    ast.keyword,
    ast.Starred,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.ListComp,
    ast.comprehension,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.JoinedStr,
    ast.FormattedValue,
    ast.expr_context,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
FORBIDDEN = frozenset(
    "eval exec compile open input getattr setattr delattr globals locals vars breakpoint load save hub jit ops "
    "multiprocessing serialization package utils distributed os sys library".split()
)
"""Names that no emitted file reads, as a global or as an attribute of a module."""
UNSAFE_BUILTINS = frozenset("eval exec compile open input breakpoint".split())
MODULES = frozenset({"torch", "nn", "F", "fx", "math"})


class VerificationError(Exception):
    """Emitted source holds what no emitted source may hold: a bug of the compiler, not of the spec."""


def verify(tree: ast.Module, plugin_modules: Iterable[str] = ()) -> None:
    """Check every node of an emitted tree against the allowlist.

    Raises:
        VerificationError: a node, an import or a name is not allowed.
    """
    plugins = frozenset(plugin_modules)
    for node in ast.walk(tree):
        if not isinstance(node, NODES):
            raise VerificationError(f"a {type(node).__name__} in emitted source")
        if isinstance(node, ast.Import | ast.ImportFrom):
            _check_import(node, plugins)
        elif isinstance(node, ast.Attribute):
            _check_attribute(node)
        elif isinstance(node, ast.Name):
            _check_name(node.id)


def _check_import(node: ast.Import | ast.ImportFrom, plugins: frozenset[str]) -> None:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
    for module in modules:
        if module not in IMPORTS and module not in plugins:
            raise VerificationError(f"an import of {module} in emitted source")


def _check_attribute(node: ast.Attribute) -> None:
    if node.attr.startswith("_") and node.attr not in DUNDERS:
        raise VerificationError(f"the attribute {node.attr} in emitted source")
    if isinstance(node.value, ast.Name) and node.value.id in MODULES and node.attr in FORBIDDEN:
        raise VerificationError(f"{node.value.id}.{node.attr} in emitted source")


def _check_name(title: str) -> None:
    if title.startswith("__") or (hasattr(builtins, title) and title not in BUILTINS and title in FORBIDDEN):
        raise VerificationError(f"the name {title} in emitted source")


def safe_builtins(plugins: Mapping[str, ModuleType]) -> dict[str, Any]:
    """Return the builtins that emitted source runs with: none that runs text or opens anything.

    Emitted source itself names those of `BUILTINS` only; `torch.compile` looks up others, such as `iter`. Imports
    are looked up in a closed table.
    """
    allowed = {title: value for title, value in vars(builtins).items() if title not in UNSAFE_BUILTINS}
    allowed["__import__"] = _importer(plugins)
    return allowed


def _importer(plugins: Mapping[str, ModuleType]) -> Any:
    def import_known(
        title: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if title in plugins:
            return plugins[title]
        if title not in IMPORTS or level:
            raise VerificationError(f"an import of {title} by emitted source")
        return builtins.__import__(title, {}, {}, fromlist, 0)

    return import_known
