"""How much work first values are: found from shapes before any of it is done, and refused where it is too much.

A spec compiles without values, so that a line of it may ask for any amount of work. A model that is loaded computes
its unsaved buffers: a small file is no reason to take hours, or all of the memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import torch

from compiler.artifact import Artifact
from compiler.infer.on_meta import meta_device
from compiler.infer.states import BlockState
from compiler.rules.dry_run import check_initialisation
from compiler.rules.initialisation import computes_with_checkpoint
from compiler.rules.plan import Initialisation, Parametrized, PlanRow
from runtime.checkpoint_mapping.loading import CheckpointValues
from runtime.cost import Cost
from runtime.memory import MEMORY_SHARE, available_memory
from runtime.parametrized import is_made, steps
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span

STEPS = 10_000_000_000
"""What all values together may take that are not drawn: about a minute on a CPU."""
EACH = 8
"""Steps for each element of a saved tensor that its initialisation may take besides: the memory bounds those."""
GIVEN = "give `--allow-large`, or `allow_large=True` in Python, to compute them all the same"


@dataclass(frozen=True)
class Work:
    """What the first values of a row take."""

    row: PlanRow
    steps: int
    bytes: int
    found: Parametrized | None = None
    """What is made of them, where that is the work."""

    @property
    def place(self) -> Span | None:
        """Where it says how they are made."""
        if self.found is not None:
            return self.found.by.rule.value.place
        entry, initialisation = self.row.source.entry, self.row.initialisation
        if initialisation is not None:
            return initialisation.expression.place
        return entry.span if entry is not None else None


def check_work(
    artifact: Artifact,
    rows: Iterable[PlanRow],
    allow_large: bool,
    checkpoints: CheckpointValues | None = None,
) -> None:
    """Refuse first values that take too many steps, or too much memory on the way.

    `checkpoints` tells the shapes of what expressions read.

    Raises:
        SpecError: they do, and that is not allowed.
    """
    if allow_large:
        return
    estimate = _Estimate(artifact, checkpoints)
    rows = list(rows)
    every = [*map(estimate.work, _drawn(rows)), *_taken_apart(rows)]
    found = [work for work in every if work.steps]
    if not found:
        return
    total, most = sum(work.steps for work in found), max(found, key=lambda work: work.steps)
    if total > STEPS:
        raise _too_much_work(total, most)
    largest, limit = max(found, key=lambda work: work.bytes), available_memory() * MEMORY_SHARE
    if largest.bytes > limit:
        raise refuse(
            "too-large-to-build",
            f"the values of `{largest.row.name}` take {largest.bytes / 2**30:.1f} GiB while they are computed, "
            f"and {limit / 2**30:.1f} GiB is the limit here",
            largest.place,
            help=GIVEN,
        )


def _drawn(rows: Iterable[PlanRow]) -> list[PlanRow]:
    """Return the rows whose values are drawn: a parametrised parameter is, and what stands for it is made of that."""
    made = [row.stands_for.plain if row.stands_for and is_made(row) else row for row in rows]
    return list({id(row): row for row in made}.values())


def _taken_apart(rows: Iterable[PlanRow]) -> list[Work]:
    """Return the work of making what stands for parameters of their values."""
    made = {row.stands_for.plain.name: row.stands_for for row in rows if row.stands_for and is_made(row)}
    return [Work(found.plain, steps(found), 0, found) for found in made.values()]


def _too_much_work(total: int, most: Work) -> SpecError:
    others = f"; the model takes {total:,}" if total > most.steps else ""
    return refuse(
        "too-much-work",
        f"the values of `{most.row.name}` take {most.steps:,} steps{others}",
        most.place,
        notes=(f"the limit is {STEPS:,}: each makes or reads an element",),
        help=GIVEN,
    )


def _key(initialisation: Initialisation, row: PlanRow) -> object:
    expression = initialisation.expression
    source = row.name if computes_with_checkpoint(expression) else None
    return expression, id(initialisation.names), row.shape, source


@dataclass(eq=False)
class _Estimate:
    """Finds the work of rows. What is computed alike is looked at once."""

    artifact: Artifact
    checkpoints: CheckpointValues | None
    known: dict[object, Cost] = field(default_factory=dict)

    def work(self, row: PlanRow) -> Work:
        owner, entry, initialisation = row.source.owner, row.source.entry, row.initialisation
        if not row.source.is_computed and initialisation is None:
            return Work(row, 0, 0)  # the constructor of a layer makes it
        key = (entry, owner) if initialisation is None else _key(initialisation, row)
        if key not in self.known:
            with meta_device(self._dtype, all_steps=True), Cost() as cost:
                self._do(row)
            self.known[key] = cost
        cost = self.known[key]
        free = EACH * row.elements if initialisation is not None and row.persistent else 0
        return Work(row, max(0, cost.steps - free), cost.bytes)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.promote_types(self.artifact.inferred.dtype, torch.float32)

    def _do(self, row: PlanRow) -> None:
        """Make the values of a row without values."""
        owner, entry = row.source.owner, row.source.entry
        if row.initialisation is not None:
            registered = self.artifact.program.scope.plugins.initializers
            made, read = row.initialisation, None
            if self.checkpoints is not None and computes_with_checkpoint(made.expression):
                read = partial(self.checkpoints.shape, row=row)
            check_initialisation(made.expression, made.names, row.shape, row.dtype, registered, read)
            return
        assert isinstance(owner, BlockState)
        assert entry is not None
        self.artifact.inferred.value(entry, owner)
