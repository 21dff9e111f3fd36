"""Ties and frozen parts, as the statements that end a constructor."""

from __future__ import annotations

import ast
from collections.abc import Container, Hashable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate, islice

from compiler.emit.syntax import as_store, call, dotted, function, index, load_name, own, parameters
from compiler.infer.states import BlockState, Chain, State, is_item, item_place, node_of, part_named
from compiler.placement.groups import ClassGroup
from compiler.program import Definition
from compiler.rules.plan import Plan, Tie
from spec_schema.selectors import Step, names_of, path_of

MANY = 4
"""More frozen parts than this are gone over in one loop instead of a statement each."""


def tie_statements(state: BlockState, ties: Sequence[Tie]) -> list[ast.stmt]:
    """Return the statements that make ties, each from an instance of a block."""
    statements: list[ast.stmt] = []
    at = 0
    while at < len(ties):
        row = tie_row(state, ties, at)
        if len(row) > 2:
            statements.append(_loop(state, row))
        else:
            row = row[:1]
            owner, alias = path(state, row[0].owner), path(state, row[0].alias)
            statements.append(ast.Assign([as_store(alias)], owner))
        at += len(row)
    return statements


def freeze_statements(root: BlockState, plan: Plan) -> list[ast.stmt]:
    """Return the statements that freeze what the rules of a model say."""
    tensors = {row.steps for row in plan.table.tensors}
    paths = frozen_paths(plan)
    parts = [
        reached(root, steps, "get_parameter" if steps in tensors else "get_submodule") for steps in paths
    ]
    statements = _frozen(parts)
    if plan.frozen_modules:
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


def frozen_paths(plan: Plan) -> list[tuple[Step, ...]]:
    """Return the frozen parameters, whole modules where all inside is frozen."""
    frozen = {row.name for row in plan.parameters if not row.trainable}
    table, found = plan.table, dict[tuple[Step, ...], None]()
    if not frozen:
        return []
    rows = [(row.kind == "parameter", plan.by_name[row.name].name in frozen) for row in table.tensors]
    parameters = list(accumulate((is_one for is_one, _ in rows), initial=0))
    hit = list(accumulate((is_one and is_frozen for is_one, is_frozen in rows), initial=0))
    for module in table.modules[1:]:
        _, inside = table.inside[module.steps]
        count = parameters[inside.stop] - parameters[inside.start]
        if count and hit[inside.stop] - hit[inside.start] == count and not _within(module.steps, found):
            found[module.steps] = None
    single = [r.steps for r in table.tensors if r.name in frozen and r.kind == "parameter"]
    return [*found, *[steps for steps in single if not _within(steps, found)]]


def _within(steps: tuple[Step, ...], found: Container[tuple[Step, ...]]) -> bool:
    """Say whether a path is one of those found, or inside of one."""
    return any(steps[:length] in found for length in range(len(steps) + 1))


def rules_key(plan: Plan) -> Hashable:
    """Return a key of what rules tie, freeze and parametrise: plans of one key have the same statements."""
    ties = tuple(
        (definition, tuple(map(repr, map(_places, found))))
        for definition, found in ties_by_block(plan).items()
    )
    frozen = tuple(map(names_of, frozen_paths(plan)))
    stored = tuple((names_of(each.plain.steps), each.by.key) for each in plan.parametrized)
    return ties, frozen, plan.frozen_modules, stored


def _places(tie: Tie) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return names_of(tie.owner), names_of(tie.alias)


def _from_root(tie: Tie) -> Tie:
    owner, alias = (*tie.scope, *tie.owner), (*tie.scope, *tie.alias)
    return replace(tie, owner=owner, alias=alias, scope=())


def tie_row(state: BlockState, ties: Sequence[Tie], start: int) -> list[Tie]:
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
        if not is_item(_part(state, first.alias[: differing[0]]), tie.alias[differing[0]][0]):
            break
        row.append(tie)
    return row


def _part(state: State | None, steps: Sequence[Step]) -> State | None:
    return reduce(lambda part, step: part_named(part, step[0]), steps, state)


def _counts(first: str, other: str, step: int) -> bool:
    return first.isdigit() and other.isdigit() and int(other) - int(first) == step


def _loop(state: BlockState, row: Sequence[Tie]) -> ast.stmt:
    first, last = row[0].alias, row[-1].alias
    at = next(at for at, (a, b) in enumerate(zip(first, last, strict=True)) if a[0] != b[0])
    bounds = [ast.Constant(int(first[at][0])), ast.Constant(int(last[at][0]) + 1)]
    target = path(state, first, {at: load_name("index")})
    return ast.For(
        ast.Name("index", ast.Store()),
        call("range", *bounds),
        [ast.Assign([as_store(target)], path(state, row[0].owner))],
        [],
    )


def path(state: State, steps: Sequence[Step], replaced: dict[int, ast.expr] | None = None) -> ast.expr:
    """Return the expression that reaches a module or tensor from `self`."""
    node: ast.expr = load_name("self")
    current: State | None = state
    for at, (name, *_) in enumerate(steps):
        if not name:  # the one node that the model is
            pass
        elif is_item(current, name):
            node = index(node, (replaced or {}).get(at) or item_place(current, name))
        else:
            node = ast.Attribute(node, name, ast.Load())
        current = part_named(current, name)
    return node


def reached(root: State, steps: Sequence[Step], getter: str, as_module: bool = False) -> ast.expr:
    """Return the expression that reaches a part, by its whole name where a type checker could not follow."""
    if is_typed(root, steps, as_module):
        return path(root, steps)
    return call(own(getter), ast.Constant(path_of(steps)))


def is_typed(root: State, steps: Sequence[Step], as_module: bool) -> bool:
    """Say whether a type checker follows a path: what a container holds is some module, with some attributes.

    An attribute of such a module is a tensor or a module, both of which can be frozen, but only one of which can be put
    into evaluation; nothing inside of it is known.
    """
    owner: State | None = root
    for at, (name, *_) in enumerate(steps):
        rest = steps[at + 1 :]
        if is_item(owner, name):
            return not rest or not (as_module or len(rest) > 1 or rest[0].name.isdigit())
        if isinstance(owner, Chain):
            return not (rest or as_module)
        owner = part_named(owner, name)
    return True


def _frozen(parts: Sequence[ast.expr]) -> list[ast.stmt]:
    if len(parts) > MANY:
        body = ast.Expr(_freeze(load_name("part")))
        return [ast.For(ast.Name("part", ast.Store()), ast.Tuple([*parts], ast.Load()), [body], [])]
    return [ast.Expr(_freeze(part)) for part in parts]


def _freeze(part: ast.expr) -> ast.expr:
    return call(ast.Attribute(part, "requires_grad_", ast.Load()), ast.Constant(False))


def train_method(group: ClassGroup, names: Sequence[str]) -> list[ast.stmt]:
    """Return a `train` of the model that leaves the frozen modules of these names in evaluation mode.

    Of a block it is the block alone, and not what is inside: dropout goes on dropping there.
    """
    if not names:
        return []
    state = group.states[0]
    layers = [name for name in names if not is_block(state, name)]
    blocks = [name for name in names if is_block(state, name)]
    body: list[ast.stmt] = [
        ast.Expr(call(ast.Attribute(call("super"), "train", ast.Load()), load_name("mode")))
    ]
    if len(layers) > MANY:
        get = call(own("get_submodule"), load_name("name"))
        evaluate = ast.Expr(call(ast.Attribute(get, "eval", ast.Load())))
        body.append(_for_each(layers, evaluate))
    else:
        for name in layers:
            body.append(ast.Expr(call(ast.Attribute(_module(state, name), "eval", ast.Load()))))
    body.extend(_blocks_in_evaluation(state, blocks))
    body.append(ast.Return(load_name("self")))
    arguments = parameters([("mode", dotted("bool"), ast.Constant(True))])
    return [function("train", arguments, body, ast.Constant(group.name))]


def is_block(root: BlockState, name: str) -> bool:
    """Return whether a module of the model is a block of the spec."""
    state: State | None = node_of(root) if name else root
    for part in name.split(".") if name else ():
        state = part_named(state, part)
    return isinstance(state, BlockState)


def _blocks_in_evaluation(root: BlockState, names: Sequence[str]) -> list[ast.stmt]:
    if len(names) > MANY:
        module = call(own("get_submodule"), load_name("name"))
        return [_for_each(names, _in_evaluation(module))]
    return [_in_evaluation(_module(root, name)) for name in names]


def _module(root: BlockState, name: str) -> ast.expr:
    """Return the expression that reaches the module of a name, which is empty for the model."""
    steps = [Step(part) for part in name.split(".")] if name else []
    return reached(node_of(root), steps, "get_submodule", as_module=True)


def _in_evaluation(module: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Attribute(module, "training", ast.Store())], ast.Constant(False))


def _for_each(names: Sequence[str], statement: ast.stmt) -> ast.stmt:
    tuple_ = ast.Tuple([ast.Constant(name) for name in names], ast.Load())
    return ast.For(ast.Name("name", ast.Store()), tuple_, [statement], [])
