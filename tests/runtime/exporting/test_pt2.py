"""A program of `torch.export` is the model where this project is not installed: open, and with ties that hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import compiler
import runtime
from runtime.classes import artifact_of
from tests.runtime.exporting.kit import built

TIED = """
inputs: {tokens: "int64[batch, time]"}
model:
  layers:
    embedding: Embedding(11, 8)
    gru: GRU(8, batch_first=True)
    head: Linear(11, bias=False)
  forward: |
    y, last = gru(embedding(tokens))
    return head(scaled_dot_product_attention(y, y, y, is_causal=True))
share:
  words: [head.weight, embedding.weight]
"""
ALONE = """
import sys
sys.modules.update(dict.fromkeys(("compiler", "runtime", "spec_schema")))
import torch
model = torch.export.load(sys.argv[1]).module()
print(*dict(model.named_parameters(remove_duplicate=False)))
with torch.no_grad():
    model.get_parameter("head.weight").zero_()
    print(*model(torch.ones(5, 3, dtype=torch.int64)).shape, model(torch.ones(1, 9, dtype=torch.int64)).any().item())
"""


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "tied.pt2"
    found = runtime.export_pt2(built(TIED), path)
    assert found.difference <= 1e-6
    assert {"batch 2, time 16", "batch 3, time 17", "batch 1, time 1"} <= {*found.sizes}
    return path


def test_a_tied_tensor_is_one_parameter_of_the_loaded_program(tied: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, str(tied)],
        capture_output=True,
        text=True,
        cwd=tied.parent,
    )
    assert done.returncode == 0, done.stderr
    names, shape = done.stdout.splitlines()
    assert {*names.split()} == {row.name for row in artifact_of(built(TIED)).plan.rows}
    assert shape == "5 3 11 False"  # the embedding is the head, and is gone with it


def test_what_goes_another_way_is_not_written(tmp_path: Path) -> None:
    ways = """
inputs: {x: "float32[batch, 4]"}
model:
  layers: {many: Linear(4), few: Linear(4)}
  forward: |
    if x.shape[0] > 20:
      return many(x)
    return few(x)
"""
    with pytest.raises(compiler.SpecError, match="what was written fails at batch"):
        runtime.export_pt2(built(ways), tmp_path / "m.pt2")
    assert not [*tmp_path.iterdir()]
    assert runtime.export_pt2(built(ways), tmp_path / "m.pt2", {"batch": 3}).sizes == ("batch 3",)
    assert torch.export.load(tmp_path / "m.pt2")


def test_a_size_of_one_that_the_program_refuses_is_told(tmp_path: Path) -> None:
    halved = """
inputs: {image: "float32[batch, 3, height, width]"}
model: ["Conv2d(4, 3, stride=2, padding=1)", "Conv2d(4, 3, padding=1)"]
"""
    found = runtime.export_pt2(built(halved), tmp_path / "m.pt2")
    assert found.sizes[:2] == ("batch 2, height 16, width 16", "batch 3, height 17, width 17")
    assert all(": Guard failed: " in each for each in found.limits)
    tried = [*found.sizes, *(each.partition(":")[0] for each in found.limits)]
    assert {"batch 1, height 1, width 1", "batch 2, height 1, width 16"} <= {*tried}
