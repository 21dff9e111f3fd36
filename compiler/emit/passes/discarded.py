"""Leave out statements that throw away what they read: `_ = self.shared.weight`."""

from __future__ import annotations

import ast


def drop_discarded(tree: ast.Module) -> ast.Module:
    """Leave out the statements of programs that read an attribute or a name, and do nothing with it."""
    dropped: ast.Module = _Dropper().visit(tree)
    return dropped


class _Dropper(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return node  # no statement stands in an expression

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        unused = all(isinstance(target, ast.Name) and target.id == "_" for target in node.targets)
        return None if unused and _is_read(node.value) else node

    def visit_If(self, node: ast.If) -> ast.stmt:
        return self._filled(node)

    def visit_For(self, node: ast.For) -> ast.stmt:
        return self._filled(node)

    def visit_While(self, node: ast.While) -> ast.stmt:
        return self._filled(node)

    def _filled(self, node: ast.If | ast.For | ast.While) -> ast.stmt:
        """Return a statement whose body has something in it."""
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def _is_read(node: ast.expr) -> bool:
    """Return whether an expression is a name with attributes: a call may change the state of a layer, or draw."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)
