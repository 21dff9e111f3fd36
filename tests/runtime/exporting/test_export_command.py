"""`export`: what it writes and says, and that a wrong call writes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.cli.app import app
from tests.docs.test_docs import blocks, write_files

DOCUMENT = "docs/export.md"
SPEC = 'spec: 1\ninputs: {x: "float32[batch, 4]"}\nmodel: [Linear(3)]\n'


def call(*arguments: str | Path) -> tuple[int, str, str]:
    """Call the program, and return its status, what it printed, and what it said."""
    found = CliRunner().invoke(app, ["export", *map(str, arguments)], prog_name="blockprint")
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(SPEC)
    return path


def test_the_document_is_right_of_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    here = write_files(DOCUMENT, tmp_path)
    status, printed, said = call(here / "scorer.yaml", "--onnx", here / "scorer.onnx", "--format", "json")
    assert (status, said) == (0, "")
    assert json.loads(printed)["onnx"]["difference"] < 1e-5
    [recipe] = [each for each in blocks(DOCUMENT) if each.file == "run_onnx.py"]
    done = subprocess.run([sys.executable, "run_onnx.py"], capture_output=True, text=True, cwd=here)
    assert (done.returncode, done.stdout) == (0, recipe.below), done.stderr


def test_a_program_of_a_spec(spec: Path, tmp_path: Path) -> None:
    status, printed, said = call(spec, "--pt2", tmp_path / "out" / "m.pt2", "--fix", "batch=3")
    assert (status, said) == (0, f"wrote {tmp_path / 'out' / 'm.pt2'}\n")
    assert printed == "run beside the model at  batch 3\nlargest difference       0\n"


def test_a_wrong_call_writes_nothing(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    before = sorted(tmp_path.rglob("*"))
    wrong = {
        (spec,): "error: nothing says what to write\n",
        (spec, "--transformers", tmp_path / "m", "--fix", "batch=3"): "error: `--fix` is for graphs",
        (spec, "--pt2", spec): f"error: `{spec}` is what is exported, and would be overwritten\n",
        (
            spec,
            "--pt2",
            tmp_path / "m",
            "--fix",
            "batch",
        ): "error: `--fix batch` gives no size\n  help: write `--fix batch=128`",
        (
            spec,
            "--pt2",
            tmp_path / "m",
            "--fix",
            "bach=3",
        ): "error: Model has no open dimension `bach`: did you mean `batch`?\n",
        (spec, "--pt2", spec / "m.pt2"): f"error: `{spec / 'm.pt2'}`: not a directory; nothing was written\n",
        (spec, "--pt2", tmp_path / "full"): f"error: `{tmp_path / 'full'}`: is no ordinary file\n",
        (
            spec,
            "--pt2",
            tmp_path / "m",
            "--onnx",
            tmp_path / "m",
        ): "error: two formats cannot have one file\n",
        (
            spec,
            "--transformers",
            tmp_path / "full",
        ): f"error: `{tmp_path / 'full'}`: is there already: name a new folder\n",
    }
    for arguments, message in wrong.items():
        status, printed, said = call(*arguments)
        assert (status, printed) == (2, "")
        assert said.startswith(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plugin_does_not_go_into_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "mine.py").write_text(
        "from torch import Tensor, nn\nfrom compiler.plugins import layer\n\n\n@layer\nclass Double(nn.Module):\n"
        "    def forward(self, x: Tensor) -> Tensor:\n        return 2 * x\n"
    )
    (tmp_path / "model.yaml").write_text(SPEC.replace("Linear(3)", "Linear(3), Double"))
    status, _, said = call(
        tmp_path / "model.yaml", "--plugin", tmp_path / "mine.py", "--transformers", tmp_path / "out"
    )
    assert status == 1
    assert "error[not-exported]: the folder would need `mine`, which is a plugin" in said
    assert not (tmp_path / "out").exists()
