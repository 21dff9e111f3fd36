"""The names that a spec binds in the functions of its source, and those that its programs call."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence

from compiler.emit.names import CALLED, EINOPS
from compiler.emit.trees import names_in, stored_names
from compiler.program import (
    Call,
    Definition,
    Inline,
    LayerNode,
    ModuleBody,
    ParallelBody,
    Repeat,
    ResidualBody,
    Reuse,
    SequenceBody,
    Splice,
)
from compiler.program import Sequence as SequenceNode
from compiler.resolve.calls import nodes_of, parts_of
from compiler.resolve.copies import INDEX
from compiler.resolve.values import expressions_of
from spec_schema.grammar import Expression
from spec_schema.walk import walk


def bound_names(definition: Definition) -> set[str]:
    """Return every name that a block binds in a constructor, a program or an expression."""
    own = {parameter.name for parameter in definition.parameters} | set(definition.variables)
    own |= {entry.name for entry in definition.inputs}
    for node in nodes_of(definition):
        own |= bound_by_copies(node)
    return own | stored_names(*_roots(definition))


def layer_names(definition: Definition) -> set[str]:
    """Return the names of a block's layers and items, after which lists are called that are made for them."""
    body = definition.body
    own = set(map(body.called, body.layers)) if isinstance(body, ModuleBody) else _item_names(body)
    return own.union(*map(_names_inside, nodes_of(definition)))


def _item_names(holder: SequenceBody | ResidualBody | ParallelBody | SequenceNode | Splice) -> set[str]:
    items = holder.branches if isinstance(holder, ParallelBody) else holder.items
    return {item.name for item in items if item.name is not None}


def _names_inside(node: LayerNode | Splice) -> set[str]:
    own = _item_names(node) if isinstance(node, SequenceNode | Splice) else set()
    return own.union(*map(_names_inside, parts_of(node)))


def called_names(definition: Definition) -> set[str]:
    """Return what the functions of a block's programs call by a name of the file, or of Python."""
    calls = {n.func for root in _roots(definition) for n in walk(root) if isinstance(n, ast.Call)}
    found = {each.id for each in calls if isinstance(each, ast.Name)}
    body = definition.body
    if isinstance(body, ParallelBody | ResidualBody) and body.combine is not None:
        found.add(body.combine.target)
    return found & (CALLED | EINOPS)


def _roots(definition: Definition) -> Iterator[ast.AST]:
    """Yield the trees of all programs and expressions of a block."""
    body = definition.body
    if isinstance(body, ModuleBody):
        if body.program is not None:
            yield from body.program.body
        for entry in body.tensors.values():
            yield from entry.value.roots if entry.value is not None else ()
    values = [*definition.variables.values()]
    yield from (each.tree for value in values for each in expressions_of(value))
    yield from (each.tree for node in nodes_of(definition) for each in expressions_in(node))


def bound_by_copies(node: LayerNode | Splice) -> set[str]:
    """Return the names that the repeats in a node bind, but for the usual one of the number of a copy."""
    own = node.bound - {INDEX} if isinstance(node, Repeat) else set()
    return own.union(*map(bound_by_copies, parts_of(node)))


def expressions_in(node: LayerNode | Splice) -> list[Expression]:
    """Return the compile-time expressions of the arguments in a node."""
    match node:
        case Call():
            return [e for argument in node.arguments for e in expressions_of(argument.value)]
        case Inline() | Reuse():
            return []
    return [e for part in parts_of(node) for e in expressions_in(part)]


def names_of_tests(statements: Iterable[ast.stmt]) -> set[str]:
    """Return the names that the conditions of a program read."""
    nodes = [node for statement in statements for node in walk(statement)]
    tests: list[ast.AST] = [node.test for node in nodes if isinstance(node, ast.If | ast.IfExp | ast.While)]
    tests += [node for node in nodes if isinstance(node, ast.BoolOp)]
    return names_in(*tests)


def local_names(statements: Iterable[ast.AST]) -> set[str]:
    """Return the names that the statements of a function bind: not those of comprehensions, which are their own."""
    found: set[str] = set()
    for node in statements:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if not isinstance(node, ast.ListComp):
            found |= local_names(ast.iter_child_nodes(node))
    return found


def read_before(statements: Sequence[ast.stmt], bound: Collection[str]) -> set[str]:
    """Return the local names that may be read before anything is bound to them."""
    return _read(statements, set(bound)) & local_names(statements)


def _read(statements: Sequence[ast.stmt], bound: set[str]) -> set[str]:
    """Return what is read and not yet bound, and add to `bound` what is bound behind the statements."""
    found: set[str] = set()
    for each in statements:
        match each:
            case ast.If():
                ways = [set(bound), set(bound)]
                found |= _loads([each.test], bound) | _read(each.body, ways[0]) | _read(each.orelse, ways[1])
                bound |= ways[0] & ways[1]
            case ast.While():
                found |= _loads([each.test], bound) | _read(each.body, set(bound))
            case ast.For():
                found |= _loads([each.iter], bound) | _read(each.body, bound | local_names([each.target]))
            case ast.AugAssign():
                found |= (_loads([each.value], bound)) | (local_names([each.target]) - bound)
            case _:
                found |= _loads([each], bound)
        if isinstance(each, ast.Assign | ast.AugAssign):
            bound |= local_names([each])
    return found


def _loads(nodes: Iterable[ast.AST], bound: Collection[str]) -> set[str]:
    walked = (node for root in nodes for node in walk(root))
    return {n.id for n in walked if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} - set(bound)
