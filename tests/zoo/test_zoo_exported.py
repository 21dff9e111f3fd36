"""Entries of the zoo are exported to ONNX: all in the table of docs/export.md, and a few each time."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
import runtime
from tests.zoo.export_table import entries, recorded
from tests.zoo.parity import ROOT, draw

LIMIT = 1e-4
SAMPLE = {
    "lenet": {},
    "gpt2_transformers": {"depth": 1},
    "t5": {"depth": 1},
    "swin": {"depths": [2]},
}


def test_the_table_has_every_entry_and_its_difference_or_its_reason() -> None:
    rows = recorded()
    assert [*rows] == [str(entry) for entry in entries()]
    for name, sizes, told, apart in rows.values():
        assert (float(apart) <= LIMIT and "<br>" in told) if apart != "—" else len(told) > 20, (name, sizes)


@pytest.mark.parametrize("name", SAMPLE)
def test_an_entry_agrees_in_onnxruntime(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    artifact = compiler.compile(
        ROOT / f"specs/zoo/{name}.yaml", preset="tiny" if name != "lenet" else None, set=SAMPLE[name]
    )
    sizes = artifact.program.sizes
    fixed = {axis: sizes[axis] for axis in ("height", "width") if axis in sizes}
    found = runtime.export_onnx(draw(runtime.build(artifact)).eval(), tmp_path / "m.onnx", fixed)
    assert found.difference <= LIMIT
    assert len(found.sizes) >= 2
