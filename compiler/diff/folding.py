"""Changes folded: what is the same in all copies of a block, and in layers beside each other, is said once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from compiler.diff.structure import Change, Value

Item = TypeVar("Item")
Row = tuple[Change, ...]
"""One layer of a block, in each of its copies."""
Ends = tuple[str | None, str | None]
"""A value before and after."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Changes that are one to a reviewer: of layers beside each other in a block."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Change:
        return self.rows[0][0]

    @property
    def changes(self) -> list[Change]:
        return [change for row in self.rows for change in row]

    @property
    def arguments(self) -> dict[str, list[Ends]]:
        """What each argument is before and after; every pair of values once."""
        return _values(change.arguments for change in self.changes)

    @property
    def inferred(self) -> dict[str, list[Ends]]:
        return _values(change.inferred for change in self.changes)

    @property
    def shapes(self) -> dict[str, list[Ends]]:
        return _values(change.shapes for change in self.changes)


def _values(every: Iterable[Sequence[Value]]) -> dict[str, list[Ends]]:
    found: dict[str, dict[Ends, None]] = {}
    for values in every:
        for name, before, after in values:
            found.setdefault(name, {})[before, after] = None
    return {name: list(ends) for name, ends in found.items()}


def fold(changes: Iterable[Change]) -> list[Fold]:
    """Return changes as a reviewer would tell them, in their order."""
    rows = [tuple(row) for row in grouped(changes, _in_copies)]
    return [Fold(tuple(found)) for found in grouped(rows, _beside)]


def grouped(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Return items that have a key in common together, each where the first of them stands."""
    found: dict[Hashable, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def _in_copies(change: Change) -> Hashable:
    """Return what the changes of one layer in all copies of a block have in common."""
    names = tuple(tuple(value[0] for value in values) for values in (change.arguments, change.shapes))
    return (change.kind, change.patterns, change.types(), names, change.tensors)


def _beside(row: Row) -> Hashable:
    """Return what rows have in common that are told together."""
    first = row[0]
    around = tuple(pattern.rpartition(".")[0] for pattern in first.patterns)
    common = (first.kind, around, len(row))
    match first.kind:
        case "renamed":
            return (*common, first.tensors, _shift(first))
        case "changed":
            values = tuple((change.arguments, change.inferred, change.shapes) for change in row)
            return (*common, first.types(), values)
    if not first.module.is_numbered:
        return (*common, first.patterns, first.types())
    return (*common, tuple(change.module.content for change in row))


def _shift(change: Change) -> Hashable:
    """Return by how much a numbered layer has moved on; layers with other names are told together."""
    assert change.before is not None
    assert change.after is not None
    numbered = change.before.is_numbered and change.after.is_numbered
    return int(change.after.name) - int(change.before.name) if numbered else change.before.is_numbered
