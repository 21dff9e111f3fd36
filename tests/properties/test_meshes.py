"""Any mesh of any model changes nothing of the model, and is refused, or runs on ranks that do not exist."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

import compiler
from runtime.manifest import plan_digest
from runtime.mesh.rehearsal import rehearse
from runtime.testing.strategies.meshes import meshes
from runtime.testing.strategies.specs import specs
from spec_schema.canonical import to_yaml

OUTSIDE = "mixed torch.Tensor and DTensor"
"""What torch says of a program that reads a tensor of another unit, which is not gathered then."""
REFUSALS = {
    "torn-unit",
    "unit-tensors",
    "split-flow",
    "split-tie",
    "split-style",
    "uneven-split",
    "fused-columns",
}


@settings(max_examples=settings().max_examples // 8)
@given(st.data())
def test_a_mesh_is_refused_or_runs(data: st.DataObject) -> None:
    document = data.draw(specs())
    alone = compiler.compile_text(to_yaml(document))
    text = to_yaml({**document, "mesh": data.draw(meshes(alone))})
    try:
        artifact = compiler.compile_text(text)
        assert artifact.mesh is not None
        assert plan_digest(artifact.plan) == plan_digest(alone.plan)
        assert artifact.class_source == alone.class_source
        found = rehearse(artifact, artifact.mesh)
    except compiler.SpecError as error:
        outside = any(OUTSIDE in note for each in error.diagnostics for note in each.notes)
        codes = {each.code for each in error.diagnostics} - ({"mesh-failed"} if outside else set())
        event(f"refused: {codes}")
        if not codes <= REFUSALS:
            raise
        return
    whole = sum(row.bytes for row in artifact.plan.parameters)
    event(f"axes: {[*artifact.mesh.axes]}, layers split: {min(len(artifact.mesh.layers), 3)}")
    assert whole / artifact.mesh.size <= found.parameters <= whole
