"""The log of a training: whole after each row, gone on with when the training is, and never behind its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compiler
from runtime.files.header import FileError
from runtime.train import train
from runtime.training.log import FILE, RunLog, rows_before
from runtime.training.outcome import Trained
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")
SECTION = """
train:
  data: {file: data.npz, x: points, label: classes, validation: 0.25}
  loss: cross_entropy(output, label)
  optimizer: AdamW(lr=0.02)
  batch: 10
  epochs: 3
"""


def step(log: RunLog, number: int, **more: float) -> None:
    log.log_metrics({"loss": torch.tensor(number / 4), "epoch": 0, **more}, number)
    log.write()


def test_a_row_is_there_once_it_is_written(tmp_path: Path) -> None:
    log, path = RunLog(tmp_path / "run", []), tmp_path / "run" / FILE
    step(log, 0)
    assert path.read_text().splitlines() == ["epoch,loss,step", "1,0.0,0"]
    step(log, 1)
    step(log, 2, lr=0.5)
    assert path.read_text().splitlines() == ["epoch,loss,lr,step", "1,0.0,,0", "1,0.25,,1", "1,0.5,0.5,2"]


def test_an_older_log_stays_until_there_is_a_row(tmp_path: Path) -> None:
    first, path = RunLog(tmp_path / "run", []), tmp_path / "run" / FILE
    step(first, 0)
    before = path.read_text()
    again = RunLog(tmp_path / "run", [])
    again.write()
    assert path.read_text() == before
    step(again, 7)
    assert path.read_text().splitlines() == ["epoch,loss,step", "1,1.75,7"]


def test_a_log_that_is_gone_on_with_has_what_was_kept_from_the_start(tmp_path: Path) -> None:
    first, path = RunLog(tmp_path / "run", []), tmp_path / "run" / FILE
    for number in range(3):
        step(first, number)
    again = RunLog(tmp_path / "run", rows_before(path, 2))
    again.write()
    assert len(path.read_text().splitlines()) == 3
    step(again, 2)
    assert path.read_text().splitlines()[1:] == ["1,0.0,0", "1,0.25,1", "1,0.5,2"]


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_last_line_that_is_cut_off_is_dropped(tmp_path: Path, cut: int) -> None:
    log, path = RunLog(tmp_path / "run", []), tmp_path / "run" / FILE
    for number in range(13):
        step(log, number)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert [int(row["step"]) for row in rows_before(path, 99)] == list(range(12))
    assert rows_before(tmp_path / "none.csv", 99) == []


# Trainings.


def trained(folder: Path, more: str = "", spec: str = TINY, **options: object) -> Trained:
    (folder / "spec.yaml").write_text(spec + SECTION + more)
    write_points(folder, 48)
    artifact = compiler.compile(folder / "spec.yaml")
    return train(artifact, **{"out": folder / "out", "progress": False, **options})  # type: ignore[arg-type]


def test_a_best_epoch_that_another_training_has_replaced_is_refused(tmp_path: Path) -> None:
    first = trained(tmp_path, "  monitor: validation_loss\n", epochs=2)
    best = first.checkpoint.with_name("best.safetensors")
    kept = first.checkpoint.read_bytes()
    trained(tmp_path, "  monitor: validation_loss\n", epochs=2, seed=5)
    first.checkpoint.write_bytes(kept)
    with pytest.raises(FileError, match="no longer the checkpoint of the best epoch") as caught:
        trained(tmp_path, "  monitor: validation_loss\n", resume=first.checkpoint, epochs=2)
    assert str(best) in str(caught.value)


def test_what_is_shared_is_watched_under_its_name(tmp_path: Path) -> None:
    """The name in a spec may be another one than the first that torch gives."""
    spec = TINY.replace("  - first: Linear(16)\n", "  - a: Linear(6)\n  - b: Linear(6)\n")
    shared = spec + "share: {both: [b.weight, a.weight]}\n"
    result = trained(tmp_path, "  watch: [Linear.weight]\n", shared, epochs=1)
    assert "norm/b.weight" in result.log.read_text().splitlines()[0].split(",")


@pytest.mark.parametrize("more", ["", "  accumulate: 2\n"])
def test_a_loss_that_follows_from_nothing_trained_is_located(tmp_path: Path, more: str) -> None:
    section = SECTION.replace("(output, label)", "(output.detach(), label)")
    (tmp_path / "spec.yaml").write_text(TINY + section + more)
    write_points(tmp_path, 48)
    with pytest.raises(compiler.SpecError, match=r"step 0 failed: .*grad") as caught:
        train(compiler.compile(tmp_path / "spec.yaml"), out=tmp_path / "out", progress=False)
    place = caught.value.diagnostics[0].span
    assert place is not None
    assert place.text.startswith("cross_entropy")
