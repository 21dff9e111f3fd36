"""Questions to `ast` trees, and changes of them, that know nothing of specs: no import of torch is needed for them."""

from __future__ import annotations

import ast
from collections.abc import Hashable
from typing import Any, TypeGuard

from spec_schema.walk import walk


def copy_tree(node: Any) -> Any:
    """Return a deep copy of an `ast` node without positions."""
    if isinstance(node, list):
        return [copy_tree(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    return type(node)(**{field: copy_tree(getattr(node, field, None)) for field in node._fields})


def copy_with(node: Any, name: str, new: ast.expr) -> Any:
    """Return a deep copy of an `ast` node, or of a list of them, with an expression wherever a name is read."""
    if isinstance(node, list):
        return [copy_with(item, name, new) for item in node]
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Name) and node.id == name:
        return copy_tree(new)
    fields = {field: copy_with(getattr(node, field, None), name, new) for field in node._fields}
    return type(node)(**fields)


def form(node: Any) -> Hashable:
    """Return a key of an `ast` node, or of a list of them: equal for those that are written alike."""
    if isinstance(node, ast.AST):
        return type(node), *(form(getattr(node, field, None)) for field in node._fields)
    if isinstance(node, list):
        return tuple(map(form, node))
    return type(node), repr(node) if isinstance(node, float) else node  # 0.0 and -0.0 are equal, and differ


def names_in(*roots: ast.AST) -> set[str]:
    """Return the names that occur in trees, read or bound."""
    return {node.id for root in roots for node in walk(root) if isinstance(node, ast.Name)}


def stored_names(*roots: ast.AST) -> set[str]:
    """Return the names that statements and expressions bind, those of comprehensions among them."""
    nodes = (node for root in roots for node in walk(root))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def is_own(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Return whether a node is an attribute of `self`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


class Replaced(ast.NodeTransformer):
    """Puts an expression in the place of a name, wherever it is read; the statements keep their positions."""

    def __init__(self, name: str, new: ast.expr) -> None:
        self.name, self.new = name, new

    def visit_Name(self, node: ast.Name) -> Any:
        return copy_tree(self.new) if node.id == self.name else node
