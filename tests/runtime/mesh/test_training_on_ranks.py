"""Trainings on several ranks: the steps, files and results of one process, and either goes on from the other's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import compiler
import runtime
from runtime.files.header import FileError
from runtime.training.checkpoints import read_checkpoint
from runtime.training.outcome import Trained
from spec_schema.diagnostics import SpecError
from tests.runtime.mesh import cases
from tests.runtime.mesh.cases import rows_of, values_of
from tests.runtime.mesh.ranks import SECONDS, on_ranks

MODEL = """
spec: 1
name: small
vars: {classes: 3}
inputs: {x: "float64[batch, 6]"}
model: [up: Linear(16), Tanh, down: Linear(8), head: Linear(classes)]
placement: [{/: {dtype: float64}}]
train:
  data: {file: data.npz, x: points, label: LABELS, test: 0.25}
  loss: LOSS
  optimizer: {head: "SGD(lr=0.05, momentum=0.9)", else: AdamW(lr=0.02)}
  schedule: CosineAnnealingLR(T_max=9)
  batch: 10
  epochs: 2
  clip: 0.5
  watch: [up.weight, head]
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3, ignore_index=-100)"}
mesh:
  axes: {dp: 2, tp: 1}
  shard: dp
  units: [up]
  split:
    - up: colwise
    - down: rowwise
"""
GPT2 = "GPT-2, tied ends split, replicated"
MEAN, WEIGHTED = "cross_entropy(output, label)", "cross_entropy(output, label) + 0.1 * output.square().sum()"


def write_data(folder: Path) -> None:
    """Write 49 points, so that the last batch has 7 of 37; in `masked` some, not the first, lack a class."""
    draws = np.random.RandomState(7)
    points = draws.normal(size=(49, 6))
    classes = (points @ draws.normal(size=(6, 3))).argmax(1)
    masked = np.where((draws.uniform(size=49) < 0.4) & (np.arange(49) > 15), -100, classes)
    np.savez(
        folder / "data.npz", points=points, single=points.astype("float32"), classes=classes, masked=masked
    )


def compiled(loss: str = MEAN, labels: str = "classes", text: str = MODEL) -> compiler.Artifact:
    return compiler.compile_text(text.replace("LOSS", loss).replace("LABELS", labels))


def trained(artifact: compiler.Artifact, out: Path, **options: Any) -> Trained:
    return runtime.train(artifact, out=out, progress=False, data_paths=[out.parent], **options)


def assert_same(
    found: list[dict[str, float]], expected: list[dict[str, float]], close: float = 1e-12
) -> None:
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, rel=0, abs=close, nan_ok=True)


NORM = MODEL.replace(
    "up: Linear(16)", 'wide: "Linear(12, bias=False)", norm: BatchNorm1d, up: Linear(16)'
).replace("  shard: dp", "  shard: dp\n  sync_statistics: true")
NORM = (
    NORM.replace("test: 0.25}", "test: 0.25, validation: 0.2}")
    .replace("lr=0.02", "lr=2.0")
    .replace("clip:", "monitor: validation_loss\n  early_stopping: {patience: 3}\n  clip:")
)
SINGLE = MODEL.replace("float64", "float32").replace("x: points", "x: single")
MIXED = SINGLE.replace("clip:", "precision: bf16-mixed\n  clip:")
CASES = {
    "mean": (MEAN, "classes", MODEL),
    "weighted": (WEIGHTED, "classes", MODEL),
    "masked": (MEAN, "masked", MODEL),
    "norm": (MEAN, "classes", NORM),
    "mixed": (MEAN, "classes", MIXED),
}


def checkpoint(out: Path) -> Path:
    return next(out.glob("*/checkpoint.safetensors"))


def on_two_ranks(folder: Path) -> dict[str, Any]:
    """Train with each loss; go on from checkpoints of one process, also with a GPT-2 whose layers are split."""
    results = {
        name: trained(compiled(*case), folder / f"ranks-{name}", mesh={}) for name, case in CASES.items()
    }
    options: dict[str, Any] = {"resume": checkpoint(folder / "one-mean"), "epochs": 3}
    results["later"] = trained(compiled(), folder / "ranks-later", mesh={}, **options)
    options = {"resume": checkpoint(folder / "half"), "mesh": {"dp": 1, "tp": 2}}
    results["gpt2"] = cases.trained(GPT2, folder, folder / "ranks-gpt2", **options)
    found = {name: values_of(each.model) for name, each in results.items()}
    mixed: Any = results["mixed"].model
    mixed.unshard()
    assert (mixed.head.weight.dtype, mixed.up.weight.dtype) == (torch.bfloat16, torch.float32)
    mixed.reshard()
    other = compiled(text=MODEL.replace("Linear(8)", "Linear(4)"))
    with pytest.raises(FileError, match=r"belongs to another spec: `spec\.model"):
        trained(other, folder / "no", mesh={}, resume=checkpoint(folder / "one-mean"))
    with pytest.raises(SpecError, match="no average") as refused:
        trained(compiled(text=MODEL.replace("clip:", "ema: 0.9\n  clip:")), folder / "no", mesh={})
    assert refused.value.diagnostics[0].code == "mesh-training"
    with pytest.raises(SpecError, match="the batch has 1 examples, and 2 ranks need one each"):
        trained(compiled(text=MODEL.replace("batch: 10", "batch: 1")), folder / "no", mesh={})
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ranks")
    write_data(made)
    cases.write_data(made)
    (made / "ranks").mkdir()
    return made


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Trained]:
    """The trainings of one process."""
    found = {name: trained(compiled(*case), folder / f"one-{name}") for name, case in CASES.items()}
    found["later"] = trained(compiled(), folder / "one-later", epochs=3)
    cases.trained(GPT2, folder, folder / "half", epochs=2)
    found["gpt2"] = cases.trained(GPT2, folder, folder / "one-gpt2")
    return found


@pytest.fixture(scope="module")
def on_ranks_too(folder: Path, alone: dict[str, Trained]) -> list[dict[str, Any]]:
    """The values at the end of the same trainings, as each of two ranks has them."""
    return on_ranks(2, folder / "ranks", on_two_ranks, folder)


def assert_equal(found: dict[str, Any], expected: dict[str, Any], close: float = 1e-10) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert np.allclose(found[key], value, rtol=0, atol=close), key


@pytest.mark.parametrize("name", [*CASES, "later", "gpt2"])
def test_two_ranks_train_as_one_process(
    name: str, folder: Path, alone: dict[str, Trained], on_ranks_too: list[dict[str, Any]]
) -> None:
    whole, out, close = alone[name], folder / f"ranks-{name}", 1e-10 if name != "mixed" else 0.05
    for found in on_ranks_too:
        assert_equal(found[name], values_of(whole.model), close)
    written = [sorted(p.name for p in each.rglob("*")) for each in (out, folder / f"one-{name}")]
    assert written[0] == written[1]
    log = rows_of(next(out.glob("*/metrics.csv")))
    assert_same(log, rows_of(whole.log)[-len(log) :], {"mixed": 0.1, "norm": 1e-10}.get(name, 1e-12))
    loaded = runtime.load(next(out.glob("*.safetensors")))
    assert_equal(values_of(loaded), on_ranks_too[0][name], close=0)


def test_one_process_goes_on_from_a_checkpoint_of_ranks(
    folder: Path, alone: dict[str, Trained], on_ranks_too: list[dict[str, Any]]
) -> None:
    resume = checkpoint(folder / "ranks-mean")
    later = trained(compiled(), folder / "later", epochs=3, resume=resume)
    assert_equal(values_of(later.model), values_of(alone["later"].model))
    for name in ("mean", "gpt2"):
        ours, theirs = (read_checkpoint(checkpoint(folder / f"{kind}-{name}")) for kind in ("ranks", "one"))
        (state,), (expected,) = ours["optimizer_states"], theirs["optimizer_states"]
        parts = zip(state.get("parts", [state]), expected.get("parts", [expected]), strict=True)
        for one, other in parts:
            assert one["param_groups"] == other["param_groups"]
            assert one["state"].keys() == other["state"].keys()
            for number, values in other["state"].items():
                assert_equal(one["state"][number], values, close=1e-12)


JOB = """
import os, signal, sys
from pathlib import Path
from pytorch_lightning import Callback
import compiler, runtime
from tests.runtime.mesh.test_training_on_ranks import compiled

class Harm(Callback):
    def on_train_batch_end(self, trainer, *_):
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first and os.environ["RANK"] == "1" and trainer.global_step == 9:
            os.kill(os.getpid(), signal.SIGKILL)

out = Path(sys.argv[1])
runtime.train(compiled(), out=out, mesh={}, data_paths=[out.parent], callbacks=[Harm()])
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_ranks_that_are_started_again_go_on(folder: Path, alone: dict[str, Trained]) -> None:
    job = folder / "job.py"
    job.write_text(JOB)
    ended = torchrun("--max-restarts", "1", str(job), str(folder / "again"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("epoch 1/2") == 1
    loaded = runtime.load(folder / "again/small.safetensors")
    assert_equal(values_of(loaded), values_of(alone["mean"].model))


def test_too_many_ranks_are_said_once(folder: Path) -> None:
    path = folder / "small.yaml"
    path.write_text(MODEL.replace("LOSS", MEAN).replace("LABELS", "classes"))
    ended = torchrun("-m", "compiler", "run", str(path), "--mesh", "tp=2")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.findall(r"(?m)^error.*", ended.stderr) == [
        "error: the mesh dp=2, tp=2 has 4 ranks, and 2 were started"
    ]
