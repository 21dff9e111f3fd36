"""Layers whose keys are no names of Python: `self.add_module("1x1", layer)`, and `getattr(self, "1x1")`.

The emitter writes each layer as an attribute, whatever its key is; this is what becomes of those that Python cannot
write so.
"""

from __future__ import annotations

import ast

from compiler.emit.syntax import call, load_name
from spec_schema.keys import is_attribute
from spec_schema.walk import walk


def write_keys(code: ast.Module) -> ast.Module:
    """Return code in which no attribute has a name that Python cannot write."""
    odd = (isinstance(node, ast.Attribute) and not is_attribute(node.attr) for node in walk(code))
    return _KeyWriter().visit(code) if any(odd) else code


class _KeyWriter(ast.NodeTransformer):
    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        match node.targets:
            case [ast.Attribute(value=owner, attr=key)] if not is_attribute(key):
                add = ast.Attribute(self.visit(owner), "add_module", ast.Load())
                return ast.Expr(call(add, ast.Constant(key), self.visit(node.value)))
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return (
            node
            if is_attribute(node.attr)
            else call(load_name("getattr"), node.value, ast.Constant(node.attr))
        )


def as_attributes(tree: ast.expr) -> ast.expr:
    """Return an expression with the layers that it takes by their keys, `self['1x1']`, as attributes."""
    return _Attributes().visit(tree)  # type: ignore[no-any-return]


class _Attributes(ast.NodeTransformer):
    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        match node.slice:
            case ast.Constant(value=str() as key):
                return ast.Attribute(node.value, key, node.ctx)
        return node
