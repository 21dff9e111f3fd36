"""Say of `zip` what is known of it: `strict=True` where what it goes over is as long by construction."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeGuard

from compiler.emit.passes.functions import functions
from spec_schema.walk import walk

ONE_FOR_ONE = frozenset({"enumerate", "list", "reversed", "sorted", "tuple"})
"""Builtins whose result is as long as what they are given."""
CHANGING = frozenset({"append", "extend", "insert", "add_module"})


def state_equal_lengths(tree: ast.Module) -> ast.Module:
    """Write `strict=True` into each call of `zip` whose arguments are sure to be of one length."""
    for function in functions(tree):
        found = [node for node in walk(function) if _is_zip(node)]
        values = _values(function) if found else {}
        for node in found:
            _state(node, values)
    return tree


def _is_zip(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip"


def _state(node: ast.Call, values: Mapping[str, ast.expr | None]) -> None:
    lengths = {_length(argument, values) for argument in node.args}
    if len(lengths) == 1 and None not in lengths:
        node.keywords = [ast.keyword("strict", ast.Constant(True))]


def _values(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """Return the names that are bound once and then never changed, with what they are set to; None for an argument."""
    nodes = list(walk(function))
    arguments = [node.arg for node in nodes if isinstance(node, ast.arg)]
    stored = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    bound = Counter([*arguments, *stored])
    found: dict[str, ast.expr | None] = dict.fromkeys(arguments)
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    changed = _changed(nodes)
    return {name: value for name, value in found.items() if bound[name] == 1 and name not in changed}


def _changed(nodes: Sequence[ast.AST]) -> set[str]:
    """Return the names of lists that a function adds to, and those that a loop binds again each time."""
    methods = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in CHANGING]
    loops = [node for node in nodes if isinstance(node, ast.For | ast.While)]
    inside = [n for loop in loops for n in walk(loop) if isinstance(n, ast.Name)]
    again = {node.id for node in inside if isinstance(node.ctx, ast.Store)}
    return again | {node.value.id for node in methods if isinstance(node.value, ast.Name)}


def _length(node: ast.expr, values: Mapping[str, ast.expr | None]) -> Hashable:
    """Return what the length of a value goes by: two of one kind are as long. None if that is not known."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items) if not any(
            isinstance(i, ast.Starred) for i in items
        ):
            return len(items)
        case ast.ListComp(generators=[ast.comprehension(iter=over, ifs=[])]):
            return _length(over, values)
        case ast.Name(id=name) if name in values:
            value = values[name]
            return (value is not None and _length(value, values)) or name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return f"self.{name}"
        case ast.Call(func=ast.Name(id=name), args=[only], keywords=[]) if name in ONE_FOR_ONE:
            return _length(only, values)
        case ast.Call(func=ast.Name(id="range"), args=[ast.Call(func=ast.Name(id="len"), args=[counted])]):
            return _length(counted, values)
    return None
