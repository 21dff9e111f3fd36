"""Rows of padding: zero at first, whatever rule initialises the tensor."""

from __future__ import annotations

from compiler.catalogue.padding import padding_row
from compiler.infer.states import Leaf
from compiler.rules.copied import copies
from compiler.rules.initialisation import reads_checkpoint
from compiler.rules.plan import Decision, Initialisation
from compiler.rules.provenance import find_argument
from compiler.rules.share import Group
from compiler.rules.table import TensorRow
from spec_schema.source import Span

ARGUMENT = "padding_idx"


def padding(group: Group, initialisation: Initialisation | None) -> dict[int, Decision]:
    """Return the rows of a tensor that are zero at first, each with what says so.

    A shared tensor has those of all its places. What a checkpoint or another tensor gives, and what a layer makes
    itself, stays.
    """
    if initialisation is None:
        return {}
    found: dict[int, Decision] = {}
    for row in group.rows:
        number = padding_row(row.module, row.steps[-1][0])
        if number is not None:
            text = f"row {number} is zero, {ARGUMENT} of {row.name.rpartition('.')[0]}"
            found.setdefault(number, Decision("padding", text, _place(row)))
    expression = initialisation.expression
    return {} if found and (reads_checkpoint(expression) or copies(expression)) else found


def _place(row: TensorRow) -> Span:
    """Return where the argument is written, or the layer that has it inside."""
    if not isinstance(row.owner, Leaf) or row.module is not row.owner.module:
        return row.span
    argument = find_argument(row.owner.node, list(row.owner.values), ARGUMENT)
    return argument.span if argument is not None else row.span
