"""What torch's engine asks of units, and of layers that look at a whole batch: found before a rank is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from compiler.infer.states import BlockState, updated_in
from compiler.mesh.plan import MeshPlan
from compiler.rules.plan import Plan, PlanRow
from compiler.rules.table import ModuleRow
from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.selectors import Step
from spec_schema.source import Span

BATCH_NORM = nn.modules.batchnorm._BatchNorm
SYNCED = "write `sync_statistics: true` to take those of all ranks, or `local_statistics: true` to accept it"
LOCAL = "write `local_statistics: true` to accept that each rank has its own"


def unit_problems(plan: Plan, made: MeshPlan) -> Iterator[Diagnostic]:
    """Yield tensors that units cannot gather: one in two of them, without a dimension, of several dtypes in one."""
    dtypes: dict[str, PlanRow] = {}
    for row in plan.parameters:
        places = [unit_of(name, made) for name in row.names]
        place = made.units[places[0]].place if places[0] in made.units else made.span
        if len(set(places)) > 1:
            yield _torn(row, places, made)
        if made.shard is not None or made.replicate is not None:
            if not row.shape:
                yield Diagnostic(
                    "unit-tensors",
                    f"`{row.name}` is a number, which has no rows to shard",
                    place,
                    labels=(Label(row.source.span, "declared here"),) if row.source.span != place else (),
                    help=f"make it a tensor of one element: `{row.dtype}[1]`".replace("torch.", ""),
                )
            first = dtypes.setdefault(places[0], row) if row.trainable else row
            if first.dtype != row.dtype:
                yield Diagnostic(
                    "unit-tensors",
                    f"`{first.name}` is {first.dtype} and `{row.name}` {row.dtype}, in one unit".replace(
                        "torch.", ""
                    ),
                    place,
                    help="give what is of another dtype a unit of its own",
                )
                dtypes[places[0]] = row


def unit_of(name: str, made: MeshPlan) -> str:
    """Return the unit that a tensor is in: the innermost one, and the root where there is none."""
    while name:
        name = name.rpartition(".")[0]
        if name in made.units:
            return name
    return ""


def _torn(row: PlanRow, places: list[str], made: MeshPlan) -> Diagnostic:
    other = next(at for at, each in enumerate(places) if each != places[0])
    units = [made.units[each].place for each in (places[other], places[0]) if each in made.units]
    where = ["the root" if not each else f"the unit `{each}`" for each in (places[0], places[other])]
    return Diagnostic(
        "torn-unit",
        f"`{row.names[0]}` and `{row.names[other]}` are one tensor, in {where[0]} and in {where[1]}",
        units[0],
        labels=tuple(Label(each, "the other unit") for each in units[1:] if each != units[0]),
        help="take what shares the tensor out of the units: what is in none is gathered with the root",
    )


def statistics_problems(plan: Plan, made: MeshPlan) -> Iterator[Diagnostic]:
    """Yield a layer that computes with the whole batch, where each rank has a part of it."""
    axis = next((name for name in (made.shard, made.replicate) if made.ranks(name) > 1), None)
    seen: set[object] = set()
    if axis is None:
        return
    spans = _spans(plan)
    for row in plan.table.modules:
        is_norm = isinstance(row.module, BATCH_NORM)
        own = isinstance(row.state, BlockState) and updated_in(row.state)
        skipped = row.name in made.synced or _is_frozen(plan, row)
        if not (is_norm or own) or skipped or spans.get(row.steps, row) in seen:
            continue
        place = spans.get(row.steps)
        seen.add(place)
        what = "the statistics of its batch" if is_norm else "values of its buffers from its batch"
        yield Diagnostic(
            "local-statistics",
            f"`{row.name}` takes {what}, and each rank of `{axis}` has another one",
            made.span,
            labels=(Label(place, "this layer"),) if place is not None else (),
            help=SYNCED if is_norm else LOCAL,
        )


def batch_norms(plan: Plan) -> tuple[str, ...]:
    """Return the paths of all layers that take the statistics of a batch."""
    return tuple(
        row.name
        for row in plan.table.modules
        if isinstance(row.module, BATCH_NORM) and not _is_frozen(plan, row)
    )


def _is_frozen(plan: Plan, row: ModuleRow) -> bool:
    return any(row.name == each or row.name.startswith(f"{each}.") for each in plan.frozen_modules)


def _spans(plan: Plan) -> Mapping[tuple[Step, ...], Span]:
    """Return where the layers stand that hold tensors, by their paths."""
    return {row.steps[:-1]: row.span for row in plan.table.tensors}
