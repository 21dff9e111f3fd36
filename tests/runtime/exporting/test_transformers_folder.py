"""A folder that `transformers` loads: the variables of the spec, its ties, and buffers that no file of ours has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import runtime
from tests.runtime.exporting.kit import built

SPEC = """
name: turned
vars: {width: 24, dtype: 3, sizes: [5, 7]}
inputs: {x: "float32[batch, 6]"}
blocks:
  Turn(count):
    buffers:
      angle: {value: "arange(count) / 7.0", persistent: false}
    forward: |
      return x * angle
model:
  layers:
    first: Linear(width)
    turn: Turn(width)
    second: Linear(width)
    body: {repeat: len(sizes), of: "Linear(sizes[index])"}
    norm: BatchNorm1d
  forward: |
    y = relu(turn(first(x)) + second(x)) * dtype
    return {"y": norm(body(y)), "x": y}
share:
  both: [first.weight, second.weight]
freeze: [/first, /second.weight, /norm.bias]
"""
WIDER = """
import sys
sys.modules.update(dict.fromkeys(("compiler", "runtime", "spec_schema")))
from transformers import AutoConfig, AutoModel
config = AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True, width=10, sizes=[4])
model = AutoModel.from_config(config, trust_remote_code=True)
print(type(model).__name__, model.model.first.weight.shape, len(model.model.body))
model.save_pretrained(sys.argv[2])
again = AutoModel.from_pretrained(sys.argv[2], trust_remote_code=True)
print([name for name, each in again.named_parameters() if not each.requires_grad])
print(again.model.second.weight is again.model.first.weight, again.model.turn.angle.equal(model.model.turn.angle))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transformers") / "turned"
    found = runtime.export_transformers(built(SPEC), path)
    assert found.difference == 0
    assert found.sizes == ("batch 2", "batch 3", "batch 1")
    return path


def test_the_configuration_has_the_variables(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_turned.TurnedConfig",
        "AutoModel": "modeling_turned.PretrainedTurned",
    }
    variables = {"width": 24, "dtype_": 3, "sizes": [5, 7]}  # transformers means something by `dtype`
    assert config == {**config, **variables, "dtype": "float32"}


def test_another_configuration_is_another_model(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WIDER, str(folder), str(tmp_path / "again")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "PretrainedTurned torch.Size([10, 6]) 1",
        "['model.first.weight', 'model.first.bias', 'model.norm.bias']",
        "True True",
    ]


def test_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    with pytest.raises(OSError, match="is there already: name a new folder"):
        runtime.export_transformers(built(SPEC), folder)
