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
def meshes(draw: Draw, artifact: Artifact, ranks: int | None = None) -> dict[str, Any]:
    """Draw a section `mesh` for a compiled spec, which names what is there. What does not go together is refused.

    If `ranks` are given, one of the axes has all of them, and layers are split evenly.
    """
    table = artifact.plan.table
    named = [row for row in table.modules if row.name and table.below(row.steps)]
    mesh: dict[str, Any] = {"axes": {}, "local_statistics": True}
    if draw(st.booleans()):
        mesh["sync_statistics"] = True
    for key, axis in (("shard", "dp"), ("replicate", "copies")):
        if draw(st.booleans()):
            mesh["axes"][axis] = pick(draw, 2, 1, 3)
            mesh[key] = axis
    splits = [
        {f"/{path_of(row.steps)}": pick(draw, *styles)}
        for row in named
        if (styles := _styles(row, ranks or 1)) and not rarely(draw)
    ]
    if splits:
        mesh["axes"]["tp"] = pick(draw, 2, 1)
        mesh["split"] = splits
    for key in ("units", "recompute"):
        rows = [row for row in named if rarely(draw, 3)]
        if rows:
            mesh[key] = [pick(draw, f"/{path_of(row.steps)}", path_of(row.steps)) for row in rows]
    if not mesh["axes"]:
        mesh |= {"axes": {"dp": "1 + 1"}, "shard": "dp"}
    if ranks is not None:
        whole = pick(draw, *reversed(mesh["axes"]))
        mesh["axes"] = {axis: ranks if axis == whole else 1 for axis in mesh["axes"]}
    return mesh


def _styles(row: ModuleRow, ranks: int) -> list[str]:
    """Return the styles in which a layer can be split evenly over some ranks."""
    module = row.state.module if isinstance(row.state, Leaf) else None
    match module:
        case nn.Linear():
            outputs, inputs = module.out_features, module.in_features
        case nn.Embedding():
            outputs, inputs = module.embedding_dim, module.num_embeddings
        case _:
            return []
    sizes = {"colwise": outputs, "rowwise": inputs}
    return [style for style, size in sizes.items() if type(module) in SPLIT and size % ranks == 0]
