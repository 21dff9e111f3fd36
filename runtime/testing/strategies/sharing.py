"""Share groups: parameters, or whole modules, that can be one."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations
from typing import Any

from compiler.infer.states import BlockState, Chain, Leaf, Operation, State
from compiler.infer.values import freeze
from compiler.rules.table import ModuleRow, Table, TensorRow
from runtime.testing.strategies.tensors import Draw, pick, rarely
from spec_schema.selectors import Step, names_of, parse_selector

Steps = tuple[Step, ...]
LIMIT = 24
"""Of so many candidates at most pairs are looked for."""


class Ties:
    """The tensors that are one so far."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.groups: list[set[str]] = []

    def free(self, names: set[str]) -> bool:
        """Return whether none of some tensors is shared yet."""
        return not any(group & names for group in self.groups)

    def whole(self, names: set[str]) -> bool:
        """Return whether some tensors hold all names of each that is shared, or none."""
        return all(group <= names or not group & names for group in self.groups)


def draw_shares(
    draw: Draw, body: dict[str, Any], instances: list[Steps], ties: Ties, condition: str | None = None
) -> None:
    """Draw a share group or two into a block, given where its instances are in which a condition holds."""
    for at in range(2 if rarely(draw, 3) else 1):
        made = pick(draw, parameters_alike, modules_alike, parameters_alike)(instances[0], ties)
        fitting = [paths for paths in made if all(fits(paths, base, ties) for base in instances)]
        if not fitting:
            continue
        paths = pick(draw, *fitting)
        for base in instances:
            _tie(paths, base, instances[0], ties)
        if rarely(draw, 3):
            paths = paths[::-1]
        group = _selectors(draw, paths, instances, ties)
        named = group if condition is None else {"if": condition, "then": group}
        body.setdefault("share", {})[f"group{at}"] = named


def parameters_alike(base: Steps, ties: Ties) -> list[tuple[Steps, ...]]:
    """Return pairs and triples of parameters of one form, relative to a block."""
    rows = [r for r in ties.table.tensors if r.kind == "parameter" and r.steps[: len(base)] == base][:LIMIT]
    forms: dict[Hashable, list[Steps]] = {}
    for row in rows:
        forms.setdefault(_form(row), []).append(row.steps[len(base) :])
    groups = [g for paths in forms.values() for n in (2, 3) for g in combinations(paths, n)]
    return groups[: 4 * LIMIT]


def _form(row: TensorRow) -> Hashable:
    init = row.entry.init if row.entry is not None else None
    return (tuple(map(int, row.tensor.shape)), row.tensor.dtype, None if init is None else str(init))


def modules_alike(base: Steps, ties: Ties) -> list[tuple[Steps, ...]]:
    """Return pairs of modules that are alike and hold tensors, relative to a block."""
    kinds: dict[Hashable, list[ModuleRow]] = {}
    for row in ties.table.modules:
        inside = len(row.steps) > len(base) and row.steps[: len(base)] == base
        if not inside or row.state is None:
            continue
        if any(r.kind == "parameter" for r in ties.table.below(row.steps)):
            kinds.setdefault(_kind(row.state), []).append(row)
    pairs = [p for rows in kinds.values() for p in combinations(rows[:LIMIT], 2)]
    return [(a.steps[len(base) :], b.steps[len(base) :]) for a, b in pairs]


def _kind(state: State) -> Hashable:
    """Return a key of layers that do the same."""
    match state:
        case Leaf():
            return (state.layer.name, freeze(dict(state.values)), freeze(dict(state.inferred)))
        case Operation():
            return (state.name, freeze(state.positional), freeze(dict(state.keywords)))
        case Chain():
            return (state.names, tuple(_kind(each) for each in state.states))
        case BlockState():
            return state
    return None


def fits(paths: tuple[Steps, ...], base: Steps, ties: Ties) -> bool:
    """Return whether paths that can be one in the first instance of a block can be so in another."""
    inside = [_below((*base, *path), ties.table) for path in paths]
    forms = [
        [(r.steps[len(base) + len(p) :], _form(r)) for r in rows]
        for rows, p in zip(inside, paths, strict=True)
    ]
    names = [{row.name for row in rows} for rows in inside]
    apart = len(set().union(*names)) == sum(map(len, names))
    return bool(forms[0]) and all(f == forms[0] for f in forms) and apart and all(map(ties.free, names))


def _below(steps: Steps, table: Table) -> list[TensorRow]:
    return [row for row in table.tensors if row.steps[: len(steps)] == steps]


def _tie(paths: tuple[Steps, ...], base: Steps, first: Steps, ties: Ties) -> None:
    rows = [_below((*base, *path), ties.table) for path in paths]
    ties.groups.extend({row.name for row in same} for same in zip(*rows, strict=True))


def _selectors(draw: Draw, paths: tuple[Steps, ...], instances: list[Steps], ties: Ties) -> list[str]:
    """Write the selectors of paths: one for each, or one pattern for all."""
    names = [names_of(path) for path in paths]
    pattern = "/" + ".".join(
        column[0] if len(set(column)) == 1 else "{" + ",".join(dict.fromkeys(column)) + "}"
        for column in zip(*names, strict=False)
    )
    if (
        len({len(n) for n in names}) == 1
        and rarely(draw, 3)
        and _hits(pattern, instances[0], ties) == len(paths)
    ):
        return [pattern]
    return [_selector(draw, ".".join(each), instances, ties) for each in names]


def _selector(draw: Draw, path: str, instances: list[Steps], ties: Ties) -> str:
    if rarely(draw, 2) and all(_hits(path, base, ties) == 1 for base in instances):
        return path
    return f"/{path}"


def _hits(text: str, base: Steps, ties: Ties) -> int:
    """Return how many modules and tensors of a block a selector names."""
    chosen = parse_selector(text, None)
    places = [*ties.table.modules, *ties.table.tensors]
    return sum(
        p.steps[: len(base)] == base and len(p.steps) > len(base) and chosen.names(p.steps[len(base) :])
        for p in places
    )
