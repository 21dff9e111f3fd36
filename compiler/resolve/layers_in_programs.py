"""The names of a program that may be layers: those of the block, and local ones that go over them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from compiler.program import names_in
from spec_schema.walk import walk


def names_of_layers(roots: Iterable[ast.AST], layers: Iterable[str]) -> frozenset[str]:
    """Return the layers of a block, and the names that a program binds to them or to what is in them."""
    found = set(layers)
    bindings = [pair for root in roots for node in walk(root) for pair in _bindings(node)]
    size = 0
    while size < len(found):  # a name that is bound to another one
        size = len(found)
        found |= {name for target, value in bindings if names_in(value) & found for name in _stored(target)}
    return frozenset(found)


def _bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield what a node binds, with what it may bind to it without a call of a layer."""
    match node:
        case ast.For(target=target, iter=over) | ast.comprehension(target=target, iter=over):
            yield target, over
        case ast.Assign(
            targets=[ast.Name() as target], value=ast.Name() | ast.Subscript() | ast.Attribute() as value
        ):
            yield target, value


def _stored(target: ast.AST) -> set[str]:
    return {node.id for node in walk(target) if isinstance(node, ast.Name)}


def root_of(node: ast.AST) -> str | None:
    """Return the name that attributes and subscripts begin with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
