"""An import that a link leads out of the folder of the spec is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler


def test_a_link_leads_nowhere_outside(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("spec: 1\nblocks: {A: [ReLU]}\n")
    (folder / "a.yaml").symlink_to(tmp_path / "secret.yaml")
    path = folder / "spec.yaml"
    path.write_text('spec: 1\nimport: {a.yaml: [A]}\ninputs: {x: "float[2]"}\nmodel: [A]\n')
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile(path)
    assert [found.code for found in caught.value.diagnostics] == ["import-missing"]
