"""Ties and frozen parts, as the statements that end a constructor."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from compiler.emit.groups import ClassGroup
from compiler.emit.syntax import as_store, call, dotted, function, index, name, own, parameters
from compiler.infer.states import BlockState, Chain, State
from compiler.plan import Plan, Tie
from compiler.program import Definition
from spec_schema.selectors import Step

if TYPE_CHECKING:
    from compiler.emit.module import ModuleEmitter

MANY = 4
"""More frozen parts than this are gone over in one loop instead of a statement each."""


def rule_statements(module: ModuleEmitter, group: ClassGroup) -> list[ast.stmt]:
    """Return the statements that tie and freeze what the rules of a block say."""
    statements = _ties(group.states[0], module.ties_of(group))
    if module.is_root(group):
        statements += _frozen(group.states[0], module.frozen_paths())
        if module.plan.frozen_modules:
            statements.append(ast.Expr(call(own("train"))))
    return statements


def ties_by_block(plan: Plan) -> dict[Definition, list[Tie]]:
    """Return the ties that the constructor of each class makes.

    The model makes all of them, in their order, where the instances of a block differ in theirs.
    """
    by_scope: dict[tuple[Step, ...], list[Tie]] = {}
    for tie in plan.ties:
        by_scope.setdefault(tie.scope, []).append(tie)
    found: dict[Definition, list[Tie]] = {}
    for scope in plan.table.scopes:
        own = by_scope.get(scope.steps, [])
        first = found.setdefault(scope.state.definition, own)
        if list(map(_places, own)) != list(map(_places, first)):
            root = plan.table.modules[0].state
            assert isinstance(root, BlockState)
            return {root.definition: list(map(_from_root, plan.ties))}
    return found


def _places(tie: Tie) -> tuple[list[str], list[str]]:
    return [step.name for step in tie.owner], [step.name for step in tie.alias]


def _from_root(tie: Tie) -> Tie:
    owner, alias = (*tie.scope, *tie.owner), (*tie.scope, *tie.alias)
    return replace(tie, owner=owner, alias=alias, scope=())


def _ties(state: BlockState, ties: Sequence[Tie]) -> list[ast.stmt]:
    statements: list[ast.stmt] = []
    at = 0
    while at < len(ties):
        row = _row(ties, at)
        if len(row) > 2:
            statements.append(_loop(state, row))
        else:
            row = row[:1]
            owner, alias = path(state, row[0].owner), path(state, row[0].alias)
            statements.append(ast.Assign([as_store(alias)], owner))
        at += len(row)
    return statements


def _row(ties: Sequence[Tie], start: int) -> list[Tie]:
    """Return the ties from `start` on whose aliases count up in one component, with one owner."""
    first = ties[start]
    row = [first]
    for tie in islice(ties, start + 1, None):
        if tie.owner != first.owner or len(tie.alias) != len(first.alias):
            break
        differing = [at for at, (a, b) in enumerate(zip(first.alias, tie.alias, strict=True)) if a[0] != b[0]]
        if len(differing) != 1 or not _counts(
            first.alias[differing[0]][0], tie.alias[differing[0]][0], len(row)
        ):
            break
        row.append(tie)
    return row


def _counts(first: str, other: str, step: int) -> bool:
    return first.isdigit() and other.isdigit() and int(other) - int(first) == step


def _loop(state: BlockState, row: Sequence[Tie]) -> ast.stmt:
    first, last = row[0].alias, row[-1].alias
    at = next(at for at, (a, b) in enumerate(zip(first, last, strict=True)) if a[0] != b[0])
    bounds = [ast.Constant(int(first[at][0])), ast.Constant(int(last[at][0]) + 1)]
    target = path(state, first, {at: name("index")})
    return ast.For(
        ast.Name("index", ast.Store()),
        call("range", *bounds),
        [ast.Assign([as_store(target)], path(state, row[0].owner))],
        [],
    )


def path(state: State, steps: Sequence[Step], replaced: dict[int, ast.expr] | None = None) -> ast.expr:
    """Return the expression that reaches a module or tensor from `self`."""
    node: ast.expr = name("self")
    current: State | None = state
    for at, (title, *_) in enumerate(steps):
        if title.isdigit():
            node = index(node, (replaced or {}).get(at) or _place(current, title))
        else:
            node = ast.Attribute(node, title, ast.Load())
        current = _child(current, title)
    return node


def _place(state: State | None, title: str) -> int:
    """Return the place of a numbered item among the items of its sequence."""
    return state.places[title] if isinstance(state, Chain | BlockState) else int(title)


def _child(state: State | None, title: str) -> State | None:
    if isinstance(state, Chain) and title in state.places:
        return state.states[state.places[title]]
    if isinstance(state, BlockState):
        return state.children.get(title)
    return None


def _frozen(state: BlockState, paths: Sequence[tuple[Step, ...]]) -> list[ast.stmt]:
    parts = [path(state, steps) for steps in paths]
    if len(parts) > MANY:
        body = ast.Expr(_freeze(name("part")))
        return [ast.For(ast.Name("part", ast.Store()), ast.Tuple(parts, ast.Load()), [body], [])]
    return [ast.Expr(_freeze(part)) for part in parts]


def _freeze(part: ast.expr) -> ast.expr:
    return call(ast.Attribute(part, "requires_grad_", ast.Load()), ast.Constant(False))


def train_method(module: ModuleEmitter, group: ClassGroup) -> list[ast.stmt]:
    """Return a `train` that leaves frozen normalisation layers in evaluation mode."""
    names = module.plan.frozen_modules
    if not module.is_root(group) or not names:
        return []
    rows = [(name_.split(".")) for name_ in names]
    state = group.states[0]
    body: list[ast.stmt] = [ast.Expr(call(ast.Attribute(call("super"), "train", ast.Load()), name("mode")))]
    if len(rows) > MANY:
        get = call(own("get_submodule"), name("name"))
        names_node = ast.Tuple([ast.Constant(".".join(row)) for row in rows], ast.Load())
        evaluate = ast.Expr(call(ast.Attribute(get, "eval", ast.Load())))
        body.append(ast.For(ast.Name("name", ast.Store()), names_node, [evaluate], []))
    else:
        for row in rows:
            target = path(state, [Step(part) for part in row])
            body.append(ast.Expr(call(ast.Attribute(target, "eval", ast.Load()))))
    body.append(ast.Return(name("self")))
    arguments = parameters([("mode", dotted("bool"), ast.Constant(True))])
    return [function("train", arguments, body, ast.Constant(group.title))]
