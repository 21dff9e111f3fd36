"""Whether two specs are of one model: the same tensors, under the same names, with the same first values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.artifact import Artifact
from compiler.rules.plan import PlanRow

Row = tuple[Any, ...]


def rows(artifact: Artifact, named: Callable[[str], str] = str) -> list[Row]:
    """Return what is known of each tensor, as values that can be compared."""
    return [_row(row, named) for row in artifact.plan.rows]


def _row(row: PlanRow, named: Callable[[str], str]) -> Row:
    made = row.initialisation
    names = tuple(map(named, row.names))
    facts = (row.kind, row.shape, row.dtype, row.persistent, row.trainable, row.device)
    return names, *facts, None if made is None else _values(made.expression, made.names)


def _values(expression: object, names: Any) -> tuple[str, list[tuple[str, str]]]:
    read: frozenset[str] = getattr(expression, "names", frozenset())
    return str(expression), sorted((name, repr(names[name])) for name in read if name in names)


def is_same_model(one: Artifact, other: Artifact) -> bool:
    """Return whether two specs compile to the same tensors and the same computation."""
    return rows(one) == rows(other)
