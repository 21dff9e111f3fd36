"""Whether what expressions make of a checkpoint fits, once the shapes in the files are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.artifact import Artifact
from compiler.checkpoint_mapping.plan import LoadPlan
from compiler.checkpoint_mapping.problems import more_alike
from compiler.rules.checkpoint_call import Surgery
from compiler.rules.dry_run import check_initialisation
from compiler.rules.initialisation import computes_with_checkpoint
from compiler.rules.plan import Initialisation, PlanRow
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.grammar import Expression


def check_fit(artifact: Artifact, plan: LoadPlan) -> None:
    """Refuse expressions that do not make the tensors of the model of what they read.

    Raises:
        SpecError: with each rule whose result is of another shape, or cannot be computed.
    """
    found: dict[Expression, list[Diagnostic]] = {}
    for row in artifact.plan.rows:
        made = row.initialisation
        if made is not None and computes_with_checkpoint(made.expression):
            found.setdefault(made.expression, []).extend(_problems(artifact, plan, row, made))
    first = [replace(each[0], notes=(*each[0].notes, *more_alike(each))) for each in found.values() if each]
    if first:
        raise SpecError(first)


def _problems(artifact: Artifact, plan: LoadPlan, row: PlanRow, made: Initialisation) -> Iterator[Diagnostic]:
    """Yield why a tensor of the model cannot be made, if it cannot."""
    notes = [f"`{row.name}` has the shape {list(row.shape)}"]

    def read(surgery: Surgery) -> tuple[int, ...]:
        load = plan.of(surgery, row)
        notes.append(f"`{next(iter(load.recipes))}` out of `{surgery.path}` has the shape {list(load.shape)}")
        return load.shape

    registered = artifact.program.scope.plugins.initializers
    try:
        check_initialisation(made.expression, made.names, row.shape, row.dtype, registered, read)
    except SpecError as error:
        for problem in error.diagnostics:
            yield replace(problem, notes=(*problem.notes, *notes))
