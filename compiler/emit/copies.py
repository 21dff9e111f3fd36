"""Copied first values, as the statements that end `reset_parameters`: a whole layer at once where that is all of it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile

from compiler.emit.rules import path, tie_row
from compiler.emit.sites import is_typed
from compiler.emit.spots import is_default
from compiler.emit.syntax import call, load_name, own
from compiler.infer.states import BlockState, item_place, part_named
from compiler.program import Definition
from compiler.rules.plan import Plan, PlanRow, Tie
from compiler.rules.table import ModuleRow, TensorRow
from spec_schema.selectors import Step, names_of, path_of

Steps = tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Copy:
    """A part of the model that is given the values of another one. Paths lead from the root."""

    target: Steps
    source: Steps
    rows: tuple[TensorRow, TensorRow] | None
    """The tensors, None for whole layers."""
    scope: Steps
    """The path of the block that copies."""
    writes: frozenset[str]
    reads: frozenset[str]
    """Canonical names of tensors."""

    @property
    def names(self) -> tuple[object, ...]:
        """What the statement says in the block that copies."""
        depth = len(self.scope)
        return (
            *(names_of(each[depth:]) for each in (self.target, self.source)),
            self.rows is None,
        )


class Copies:
    """The copies of one model, each in the block that makes it, in an order in which sources come first."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.places: dict[str, int] = {}
        """How deep the block is whose statement gives a tensor its values, by canonical name."""
        self.all = [self._placed(each) for each in _ordered(plan)]
        self.by_definition = self._by_definition(self.all)

    @property
    def key(self) -> Hashable:
        """Equal for models in which the same statements copy."""
        return tuple((key, tuple(each.names for each in found)) for key, found in self.by_definition.items())

    def from_root(self, definition: Definition) -> list[Copy]:
        """Return the copies of all instances of a block, to be made by the model."""
        scopes = {each.steps for each in self.plan.table.modules if _is_of(each, definition)}
        return [replace(each, scope=()) for each in self.all if each.scope in scopes]

    def _placed(self, copy: Copy) -> Copy:
        """Return a copy in the block of its rule, in the model if something outside of it fills the source."""
        rows = [self.plan.by_name[name] for name in copy.reads]
        inside = all(_is_filled_in(row, copy.scope) for row in rows)
        earlier = all(self.places.get(row.name, len(copy.scope)) >= len(copy.scope) for row in rows)
        found = copy if inside and earlier else replace(copy, scope=())
        self.places.update(dict.fromkeys(found.writes, len(found.scope)))
        return found

    def _by_definition(self, placed: Sequence[Copy]) -> Mapping[Definition, list[Copy]]:
        """Return the copies of each class; the model makes all of them if instances of a block differ in theirs."""
        by_scope: dict[Steps, list[Copy]] = {}
        for each in placed:
            by_scope.setdefault(each.scope, []).append(each)
        found: dict[Definition, list[Copy]] = {}
        blocks = [(m.steps, m.state) for m in self.plan.table.modules if isinstance(m.state, BlockState)]
        for steps, state in blocks if placed else ():
            here = by_scope.get(steps, [])
            known = found.setdefault(state.definition, here)
            if [each.names for each in here] != [each.names for each in known]:
                self.places = dict.fromkeys(self.places, 0)
                return {blocks[0][1].definition: [replace(each, scope=()) for each in placed]}
        return {definition: here for definition, here in found.items() if here}


def _is_of(row: ModuleRow, definition: Definition) -> bool:
    return isinstance(row.state, BlockState) and row.state.definition is definition


def copies_key(plan: Plan) -> Hashable:
    """Return a key of what the rules of a model copy: plans of one key have the same statements."""
    return Copies(plan).key


def _is_filled_in(row: PlanRow, scope: Steps) -> bool:
    """Return whether the values of a tensor are given to it inside a block."""
    made = row.initialisation
    ours = made is None or is_default(row) or made.scope[: len(scope)] == scope
    return ours and row.source.steps[: len(scope)] == scope


def _ordered(plan: Plan) -> Sequence[Copy]:
    """Return the copies of a model: of whole layers, of single tensors where these cannot be put into an order."""
    rows = [row for row in plan.rows if row.copied is not None]
    try:
        return _sorted([*_whole_first(plan, rows)])
    except CycleError:
        return _sorted([_single(plan, row) for row in rows])


def _sorted(found: Sequence[Copy]) -> Sequence[Copy]:
    """Return copies behind those that they read.

    Raises:
        CycleError: there is no such order.
    """
    writer = {name: each for each in found for name in each.writes}
    before = {each: {writer[name]: None for name in each.reads if name in writer} for each in found}
    return list(TopologicalSorter(before).static_order())


def _whole_first(plan: Plan, rows: Sequence[PlanRow]) -> Iterator[Copy]:
    """Yield the copies, those of whole layers as one."""
    groups: dict[tuple[Steps, Steps, Steps], list[PlanRow]] = {}
    for row in rows:
        assert row.copied is not None
        key = row.copied.scope, row.copied.target_part, row.copied.source_part
        groups.setdefault(key, []).append(row)
    for (scope, target, source), found in groups.items():
        singles = [_single(plan, row) for row in found]
        if _is_whole(plan, target, source):
            writes = frozenset().union(*(each.writes for each in singles))
            yield Copy(
                target, source, None, scope, writes, frozenset().union(*(each.reads for each in singles))
            )
        else:
            yield from singles


def _single(plan: Plan, row: PlanRow) -> Copy:
    made = row.copied
    assert made is not None
    source = plan.table.by_name[made.source]
    ours = made.target, source
    return Copy(
        made.target.steps, source.steps, ours, made.scope, frozenset([row.name]), frozenset([made.name])
    )


def _is_whole(plan: Plan, target: Steps, source: Steps) -> bool:
    """Return whether all that a layer saves is copied from another one, which saves the same, and as it is."""
    table = plan.table
    if any(each.plain.steps[: len(part)] == part for each in plan.parametrized for part in (target, source)):
        return False
    if target not in table.inside or source not in table.inside:
        return False
    theirs = {_inner(row, source): row for row in table.below(source) if row.persistent}
    ours = {_inner(row, target): row for row in table.below(target) if row.persistent}
    return ours.keys() == theirs.keys() and all(_becomes(plan, ours[name], theirs[name]) for name in ours)


def _becomes(plan: Plan, target: TensorRow, source: TensorRow) -> bool:
    made = plan.by_name[target.name].copied
    if target.is_computed and target.entry is source.entry:
        return target.owner is source.owner
    return made is not None and made.name == plan.by_name[source.name].name


def _inner(row: TensorRow, part: Steps) -> tuple[str, ...]:
    return names_of(row.steps[len(part) :])


# Statements.


def copy_statements(
    state: BlockState, copies: Sequence[Copy], has_attribute: Callable[[str], bool]
) -> Iterator[ast.stmt]:
    """Yield the statements of one class; `has_attribute` says whether a layer is an attribute of a known type."""
    ties = [_tie(each) for each in copies]
    at = 0
    while at < len(copies):
        row = list(takewhile(lambda tie: tie.is_module, tie_row(state, ties, at)))
        if len(row) > 2 and _counts(state, row) and has_attribute(row[0].alias[0].name):
            yield _loop(state, row, _module(state, row[0].owner, has_attribute))
            at += len(row)
        else:
            yield _statement(state, copies[at], ties[at], has_attribute)
            at += 1


def _tie(copy: Copy) -> Tie:
    depth = len(copy.scope)
    return Tie(copy.source[depth:], copy.target[depth:], copy.rows is None, copy.scope)


def _loop(state: BlockState, row: Sequence[Tie], source: ast.expr) -> ast.stmt:
    first, last = row[0].alias, row[-1].alias
    target = path(state, first, {1: load_name("index")})
    bounds = [ast.Constant(int(first[1].name)), ast.Constant(int(last[1].name) + 1)]
    return ast.For(ast.Name("index", ast.Store()), call("range", *bounds), [_load(target, source)], [])


def _counts(state: BlockState, row: Sequence[Tie]) -> bool:
    """Return whether the items of a list are at the places that their names say."""
    items = part_named(state, row[0].alias[0].name)
    places = ((tie.alias[1].name, item_place(items, tie.alias[1].name)) for tie in row if _is_item(tie.alias))
    return [int(name) == place for name, place in places] == [True] * len(row)


def _is_item(steps: Steps) -> bool:
    return len(steps) == 2 and steps[1].name.isdigit()


def _load(target: ast.expr, source: ast.expr) -> ast.stmt:
    values = call(ast.Attribute(source, "state_dict", ast.Load()))
    return ast.Expr(call(ast.Attribute(target, "load_state_dict", ast.Load()), values))


def _statement(state: BlockState, copy: Copy, tie: Tie, has_attribute: Callable[[str], bool]) -> ast.stmt:
    if copy.rows is None:
        target, source = (_module(state, steps, has_attribute) for steps in (tie.alias, tie.owner))
        return _load(target, source)
    ends = zip((tie.alias, tie.owner), copy.rows, strict=True)
    tensor, values = (_tensor(steps, row, has_attribute) for steps, row in ends)
    copied = ast.Expr(call(ast.Attribute(tensor, "copy_", ast.Load()), values))
    return ast.With([ast.withitem(call("torch.no_grad"))], [copied])


def _module(state: BlockState, steps: Steps, has_attribute: Callable[[str], bool]) -> ast.expr:
    if has_attribute(steps[0].name) and (len(steps) == 1 or _is_item(steps)):
        return path(state, steps)
    return call(own("get_submodule"), ast.Constant(path_of(steps)))


def _tensor(steps: Steps, row: TensorRow, has_attribute: Callable[[str], bool]) -> ast.expr:
    names = names_of(steps)
    if len(names) == 1 and row.kind == "parameter":
        return own(names[0])
    if (
        len(names) == 2
        and has_attribute(names[0])
        and row.entry is None
        and is_typed(type(row.module), names[1])
    ):
        return ast.Attribute(own(names[0]), names[1], ast.Load())
    method = "get_parameter" if row.kind == "parameter" else "get_buffer"
    return call(own(method), ast.Constant(".".join(names)))
