"""The call of `super().__init__` that begins a constructor."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from compiler.emit.syntax import call, inherited


def super_init(
    arguments: Sequence[ast.expr] = (), keywords: Mapping[str, ast.expr] = MappingProxyType({})
) -> ast.stmt:
    """Return `super().__init__(...)`."""
    return ast.Expr(call(inherited("__init__"), *arguments, **keywords))


def is_bare_super(statement: ast.stmt) -> bool:
    """Return whether a statement is `super().__init__()`."""
    return ast.dump(statement) == ast.dump(super_init())
