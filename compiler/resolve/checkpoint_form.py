"""The long form of `checkpoint(...)`, a mapping in the spec, read as the call that it stands for."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from spec_schema.grammar import Expression, parse_expression
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.source import Span
from spec_schema.walk import walk

NAME = "checkpoint"


@dataclass(frozen=True, eq=False)
class LongForm(Expression):
    """A call whose parts stand in a mapping of the spec: `places` says where, by the identity of the node."""

    places: dict[int, Span] = field(default_factory=dict)

    def span(self, node: ast.AST) -> Span:
        return self.places.get(id(node), self.scalar.span)

    def part(self, tree: ast.expr) -> Expression:
        return LongForm(self.scalar, self.text, self.start, tree, self.places)


def read_long_form(entry: Entries) -> LongForm:
    """Return the call that `{checkpoint: path, rename: ..., ...}` stands for. `"${expr}"` marks an expression in it.

    Raises:
        SpecError: such an expression cannot be read.
    """
    places: dict[int, Span] = {}
    path = entry[NAME]
    assert isinstance(path, Scalar)
    arguments: list[ast.expr] = []
    keywords: list[ast.keyword] = []
    for key, value in entry.items():
        node = _tree(value, places)
        if key == NAME:
            arguments.append(node)
            continue
        keyword = ast.keyword(key, node)
        places[id(keyword)] = places.setdefault(id(node), entry.keys_at[key].span)
        keywords.append(keyword)
    call = ast.Call(ast.Name(NAME, ast.Load()), arguments, keywords)
    _at_the_start(walk(call))
    return LongForm(path, path.text, 0, call, places)


def _tree(node: Node, places: dict[int, Span]) -> ast.expr:
    """Return the expression of a value, noting where its parts stand."""
    if isinstance(node, Items):
        return ast.List([_tree(item, places) for item in node], ast.Load())
    if isinstance(node, Entries):
        keys: list[ast.expr | None] = []
        for key in node:
            keys.append(ast.Constant(key))
            places[id(keys[-1])] = node.keys_at[key].span
        return ast.Dict(keys, [_tree(value, places) for value in node.values()])
    if isinstance(node.value, str) and node.text.startswith("${") and node.text.endswith("}"):
        expression = parse_expression(node, 2, len(node.text) - 1)
        places.update((id(each), expression.span(each)) for each in walk(expression.tree))
        return expression.tree
    made = ast.Constant(node.value)
    places[id(made)] = node.span
    return made


def _at_the_start(nodes: Iterable[ast.AST]) -> None:
    """Give the nodes that are made here a position, as parsed ones have: what sorts by it needs one."""
    for node in nodes:
        if isinstance(node, ast.expr | ast.keyword) and not hasattr(node, "lineno"):
            node.lineno = node.end_lineno = 1
            node.col_offset = node.end_col_offset = 0
