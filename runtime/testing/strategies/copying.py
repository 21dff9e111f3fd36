"""Rules `copy(...)`: parts of a model that begin as others do."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.catalogue.padding import padding_row
from compiler.rules.table import TensorRow
from runtime.testing.strategies.sharing import Ties, fits, modules_alike, parameters_alike
from runtime.testing.strategies.tensors import Draw, pick
from spec_schema.selectors import Step, path_of

Steps = tuple[Step, ...]


def copy_rule(draw: Draw, instances: Sequence[Steps], ties: Ties) -> dict[str, str] | None:
    """Draw a rule for some instances of a block, None if nothing in it can be copied.

    The source comes first in the table, so that rules make no circle.
    """
    base = instances[0]
    pairs = [*modules_alike(base, ties), *parameters_alike(base, ties)]
    fitting = [pair for pair in pairs if all(_can_copy(pair, each, ties) for each in instances)]
    if not fitting:
        return None
    source, target = (path_of(path) for path in pick(draw, *fitting)[:2])
    return {f"/{target}": f"copy('{source}')"}


def _can_copy(pair: tuple[Steps, ...], base: Steps, ties: Ties) -> bool:
    rows = [_below((*base, *path), ties) for path in pair]
    if not fits(pair, base, ties) or rows[0][0].name == rows[1][0].name:
        return False
    found = [list(map(_padding, each)) for each in rows]
    return found[0] == found[1] and any(map(_is_filled, rows[1]))


def _below(steps: Steps, ties: Ties) -> list[TensorRow]:
    return [row for row in ties.table.tensors if row.steps[: len(steps)] == steps]


def _padding(row: TensorRow) -> int | None:
    return padding_row(row.module, row.steps[-1].name)


def _is_filled(row: TensorRow) -> bool:
    """Return whether a rule decides the first values of a tensor."""
    return row.persistent and (row.entry is None or row.entry.value is None)
