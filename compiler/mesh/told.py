"""How a parameter lies on a mesh, and which rules say so."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.mesh.plan import MeshPlan
from compiler.mesh.units import unit_of
from compiler.rules.plan import Decision, PlanRow

SECTION = "mesh"


def mesh_decisions(made: MeshPlan, row: PlanRow) -> Iterator[Decision]:
    """Yield what decides which part of a parameter a rank holds."""
    split = made.tensors.get(row.name)
    if split is not None and split.dim is not None:
        text = f"dimension {split.dim} over {made.tensor}, {split.reason.text}"
        yield Decision(SECTION, text, split.reason.place)
    if row.kind != "parameter":
        return
    unit = unit_of(row.name, made)
    reason = made.units.get(unit)
    with_what = reason.text if reason is not None else "with the root"
    for axis, what in ((made.shard, "rows over"), (made.replicate, "copied over")):
        if axis is not None:
            place = reason.place if reason is not None else made.places[axis]
            yield Decision(SECTION, f"{what} {axis}, {with_what}", place)
