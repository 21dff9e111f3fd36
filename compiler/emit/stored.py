"""Reads of parameters that a layer may store as something else: `get_parameter` has only what is stored as it is."""

from __future__ import annotations

import ast
from collections.abc import Collection

from compiler.emit.syntax import call
from spec_schema.walk import walk

READING = ("forward", "reset_parameters")


def read_stored(tree: ast.Module, names: Collection[str]) -> ast.Module:
    """Write attributes for what methods get by `get_parameter`, where some parameter of that name is parametrised."""
    methods = [node for node in walk(tree) if isinstance(node, ast.FunctionDef)]
    for method in methods if names else []:
        if method.name in READING:
            _Read(names).visit(method)
    return tree


class _Read(ast.NodeTransformer):
    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(
                func=ast.Attribute(value=owner, attr="get_parameter"), args=[ast.Constant(value=str(path))]
            ):
                *inside, name = path.split(".")
                if name in self.names:
                    return ast.Attribute(_layer(owner, inside), name, ast.Load())
        return node


def _layer(owner: ast.expr, path: list[str]) -> ast.expr:
    getter = ast.Attribute(owner, "get_submodule", ast.Load())
    return call(getter, ast.Constant(".".join(path))) if path else owner
