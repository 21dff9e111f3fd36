"""Meshes for drawn specs: axes of ranks, units, layers that are split and modules that are computed again."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from torch import nn

from compiler.artifact import Artifact
from compiler.infer.states import Leaf
from compiler.rules.table import ModuleRow
from runtime.testing.strategies.tensors import Draw, pick, rarely
from spec_schema.selectors import path_of

SPLIT = (nn.Linear, nn.Embedding)
"""Layers that can be split."""


@st.composite
def meshes(draw: Draw, artifact: Artifact) -> dict[str, Any]:
    """Draw a section `mesh` for a compiled spec, which names what is there. What does not go together is refused."""
    table = artifact.plan.table
    named = [row for row in table.modules if row.name and table.below(row.steps)]
    mesh: dict[str, Any] = {"axes": {}, "local_statistics": True}
    if draw(st.booleans()):
        mesh["sync_statistics"] = True
    for key, axis in (("shard", "dp"), ("replicate", "copies")):
        if draw(st.booleans()):
            mesh["axes"][axis] = pick(draw, 2, 1, 3)
            mesh[key] = axis
    splits = [_split(draw, row) for row in named if _can_be_split(row) and not rarely(draw)]
    if splits:
        mesh["axes"]["tp"] = pick(draw, 2, 1)
        mesh["split"] = splits
    for key in ("units", "recompute"):
        rows = [row for row in named if rarely(draw, 3)]
        if rows:
            mesh[key] = [pick(draw, f"/{path_of(row.steps)}", path_of(row.steps)) for row in rows]
    if not mesh["axes"]:
        mesh |= {"axes": {"dp": "1 + 1"}, "shard": "dp"}
    return mesh


def _can_be_split(row: ModuleRow) -> bool:
    return isinstance(row.state, Leaf) and type(row.state.module) in SPLIT


def _split(draw: Draw, row: ModuleRow) -> dict[str, str]:
    return {f"/{path_of(row.steps)}": pick(draw, "colwise", "rowwise")}
