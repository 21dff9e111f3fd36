"""The parameter plan: a row for each parameter and buffer, with what was decided for it and by which line.

`explain`, `summary`, the loader and the initialiser all read this table; none derives it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from compiler.rules.items import bind
from compiler.rules.parametrization import Parametrization, Stored
from compiler.rules.table import Table, TensorRow
from spec_schema.grammar import Expression
from spec_schema.selectors import Selector, Step
from spec_schema.source import Span


@dataclass(frozen=True)
class Decision:
    """One rule that touched a row. `won` says whether it decided."""

    section: str
    text: str
    place: Span | None
    won: bool = True
    """`place` is None for a default of the compiler."""

    def where(self) -> str:
        """Return `file:line` of the rule."""
        return self.place.where if self.place else "default"


@dataclass(frozen=True, eq=False)
class Initialisation:
    """How a tensor gets its first values: an expression over initialisers, and the names in its scope."""

    expression: Expression
    names: Mapping[str, object]
    scope: tuple[Step, ...] = ()
    """The path of the block whose names the expression sees."""

    @property
    def text(self) -> str:
        return str(self.expression)


@dataclass(frozen=True, eq=False)
class Copied:
    """The tensor whose first values another one has, and the rule that says so."""

    name: str
    """Its canonical name."""
    source: str
    """The name that the rule reaches it by."""
    scope: tuple[Step, ...]
    """The path of the block that holds the rule."""
    target_part: tuple[Step, ...]
    """What the rule selects: the tensor, or a layer around it."""
    source_part: tuple[Step, ...]
    target: TensorRow
    place: Span


@dataclass(frozen=True, eq=False)
class PlanRow:
    """One tensor of the model. `names` are all its names; the first is the canonical one."""

    names: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    persistent: bool
    trainable: bool
    device: str
    initialisation: Initialisation | None
    """None for a buffer whose value is computed."""
    steps: tuple[Step, ...]
    source: TensorRow = field(repr=False)
    decisions: tuple[Decision, ...] = ()
    zero_rows: tuple[int, ...] = ()
    """Rows that stand for padding: they are zero at first, whatever the initialisation draws."""
    copied: Copied | None = None
    """Where the first values come from, if they are those of another tensor."""
    stands_for: Parametrized | None = None
    """The parameter that it is stored for, None for one that is stored as it is."""

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def in_table(self) -> tuple[str, ...]:
        """Its names in the table, which knows parameters as the layers compute with them."""
        return self.stands_for.plain.names if self.stands_for is not None else self.names

    def placed(self, device: str, decisions: tuple[Decision, ...]) -> PlanRow:
        """Return the row on another device: `replace`, in a fifth of the time, for each row of a model."""
        made = object.__new__(PlanRow)
        vars(made).update(vars(self), device=device, decisions=decisions)
        return made

    @property
    def elements(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """The size in bytes."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Parametrized:
    """A parameter that a layer stores as other tensors. `plain` is what it would be without."""

    plain: PlanRow
    by: Parametrization
    stored: Stored


@dataclass(frozen=True, eq=False)
class Tie:
    """Two places of the model that hold one module, or one tensor. Paths are relative to the block `scope`."""

    owner: tuple[Step, ...]
    alias: tuple[Step, ...]
    is_module: bool
    scope: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a whole model."""

    rows: tuple[PlanRow, ...]
    ties: tuple[Tie, ...]
    frozen_modules: tuple[str, ...]
    """Modules that freezing keeps in evaluation mode, since they have running statistics."""
    table: Table = field(repr=False)
    parametrized: tuple[Parametrized, ...] = ()
    """The parameters that are stored otherwise, each once."""

    @cached_property
    def by_name(self) -> Mapping[str, PlanRow]:
        """Rows by each of their names."""
        return {name: row for row in self.rows for name in row.names}

    @property
    def parameters(self) -> Iterator[PlanRow]:
        return (row for row in self.rows if row.kind == "parameter")

    def select(self, selector: Selector) -> list[PlanRow]:
        """Return the rows that a selector names, by any of their names.

        Raises:
            SpecError: there is no item that it names by an index.
        """
        selector = bind(selector, self.table.values, self.table)
        paths = {row.name: row.steps for row in self.table.tensors}

        def selects(row: PlanRow) -> bool:
            stored = row.stands_for is not None and selector.matches(row.steps)
            return stored or any(selector.matches(paths[name]) for name in row.in_table)

        return [row for row in self.rows if selects(row)]

    @cached_property
    def plain(self) -> Plan:
        """The plan as it is before any parameter is stored otherwise: of what the table has."""
        if not any(row.stands_for for row in self.rows):
            return self
        rows: dict[str, PlanRow] = {}
        for row in self.rows:
            if row.stands_for is None:
                rows[row.name] = row
            else:
                made = replace(row.stands_for.plain, device=row.device, decisions=row.decisions)
                rows.setdefault(made.name, made)
        return replace(self, rows=tuple(rows.values()))


def meta(tensor: Tensor) -> tuple[tuple[int, ...], torch.dtype]:
    """Return the shape and the dtype of a tensor."""
    return tuple(int(size) for size in tensor.shape), tensor.dtype
