"""The call of `super().__init__` that begins a constructor."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from compiler.emit.syntax import call


def super_init(
    arguments: Sequence[ast.expr] = (), keywords: Mapping[str, ast.expr] = MappingProxyType({})
) -> ast.stmt:
    """Return `super().__init__(...)`."""
    return ast.Expr(call(ast.Attribute(call("super"), "__init__", ast.Load()), *arguments, **keywords))


def is_bare_super(statement: ast.stmt) -> bool:
    """Return whether a statement is `super().__init__()`."""
    return ast.dump(statement) == ast.dump(super_init())
