"""Say what an empty list is going to hold: `ys: list[Tensor] = []`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from compiler.emit.passes.functions import functions
from compiler.emit.trees import names_in, stored_names


def annotate_lists(tree: ast.Module) -> ast.Module:
    """Annotate the lists of tensors that programs begin with nothing in them."""
    for function in functions(tree):
        if function.name != "__init__":
            function.body = [*_annotated(function.body, {a.arg for a in function.args.args})]
    return tree


def _annotated(body: Iterable[ast.stmt], bound: set[str]) -> Iterator[ast.stmt]:
    """Yield statements with annotations; `bound` are the names that were bound before."""
    for statement in body:
        for part in ("body", "orelse"):
            if inner := getattr(statement, part, None):
                setattr(statement, part, [*_annotated(inner, bound)])
        for each in _parted(statement):
            match each:
                case ast.Assign(targets=[ast.Name(id=name) as target], value=ast.List(elts=[]) as empty):
                    yield each if name in bound else ast.AnnAssign(target, _list_of_tensors(), empty, 1)
                case _:
                    yield each
            bound |= stored_names(each)


def _parted(statement: ast.stmt) -> list[ast.stmt]:
    """Return `now, ys = first, []` as two statements, so that the list has room for its type."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            empty = any(isinstance(value, ast.List) and not value.elts for value in values)
            if empty and len(targets) == len(values) and not stored_names(statement) & names_in(*values[1:]):
                return [ast.Assign([target], each) for target, each in zip(targets, values, strict=True)]
    return [statement]


def _list_of_tensors() -> ast.expr:
    return ast.parse("list[Tensor]", mode="eval").body
