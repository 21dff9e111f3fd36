"""The compile-time names that a node reads from its surroundings."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.program import (
    Call,
    Choice,
    Inline,
    Item,
    LayerNode,
    NameTemplate,
    ParallelBody,
    Repeat,
    ResidualBody,
    Reuse,
    Sequence,
    SequenceBody,
    Splice,
)
from compiler.resolve.values import free_names


def captured_names(body: SequenceBody | ResidualBody | ParallelBody) -> set[str]:
    """Return every name that the expressions of a body read."""
    match body:
        case ParallelBody():
            return _names_of_items(body.branches) | node_names(body.combine)
        case ResidualBody():
            return _names_of_items(body.items) | (node_names(body.combine) if body.combine else set())
        case SequenceBody():
            return _names_of_items(body.items)


def _names_of_items(items: Iterable[Item]) -> set[str]:
    return {name for item in items for name in node_names(item.node) | _names_of_label(item.label)}


def _names_of_label(label: NameTemplate | None) -> set[str]:
    return {name for part in label.expressions for name in free_names(part)} if label else set()


def node_names(node: LayerNode | Splice) -> set[str]:
    """Return every compile-time name that a node reads from its surroundings."""
    match node:
        case Call():
            own = {node.target} if node.kind == "recipe" else set()
            return own | {name for argument in node.arguments for name in free_names(argument.value)}
        case Sequence() | Splice():
            return _names_of_items(node.items)
        case Repeat():
            inner = node_names(node.of) | _names_of_label(node.label)
            inner = inner.union(*(free_names(each.after) for each in node.running))
            around = free_names(node.over).union(*(free_names(each.first) for each in node.running))
            return around | inner - node.bound
        case Choice():
            otherwise = node_names(node.otherwise) if node.otherwise else set()
            return free_names(node.condition) | node_names(node.then) | otherwise
        case Inline():
            return set(node.captured)
        case Reuse():
            return set()
