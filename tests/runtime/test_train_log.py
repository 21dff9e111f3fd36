"""The log of a training: when it is written, and that a mean hides nothing."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback

import compiler
from runtime.train import train
from runtime.training import log
from runtime.training.mean import MeanLoss
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = (
    TINY
    + """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.2}
  loss: cross_entropy(output, label)
  optimizer: SGD(lr=0.1)
  batch: 16
  epochs: 2
"""
)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "tiny" / log.FILE).open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


class Reader(Callback):
    """Notes how many rows are in the file when an epoch begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lengths: list[int] = []

    def on_train_epoch_start(self, *_: object) -> None:
        if (self.folder / "tiny" / log.FILE).exists():
            self.lengths.append(len(rows(self.folder)))


def test_no_checkpoint_is_ahead_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "INTERVAL", math.inf)
    write_points(tmp_path, 60)
    (tmp_path / "spec.yaml").write_text(SPEC)
    reader = Reader(tmp_path)
    train(compiler.compile(tmp_path / "spec.yaml"), out=tmp_path, progress=False, callbacks=[reader])
    assert reader.lengths == [4]  # three steps, and the epoch itself
    found = rows(tmp_path)
    assert len(found) == 8
    assert {"train_loss", "test_loss", "epoch", "step"} == found[3].keys() == found[7].keys()


def test_rows_are_written_after_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    written = log.RunLog(tmp_path / "tiny", [])
    written.log_metrics({"epoch": 0, "loss": 1.0}, 0)
    written.save()
    assert not (tmp_path / "tiny" / log.FILE).exists()
    now = 102.0
    written.log_metrics({"epoch": 0, "loss": 2.0}, 1)
    written.save()
    assert [row["loss"] for row in rows(tmp_path)] == ["1.0", "2.0"]


def test_a_mean_is_over_items_and_hides_no_batch() -> None:
    mean = MeanLoss()
    assert mean.compute().isnan()
    mean.update(torch.tensor(1.0), 30)
    mean.update(torch.tensor(4.0), 10)
    assert float(mean.compute()) == 1.75
    mean.update(torch.tensor(math.nan), 10)
    assert mean.compute().isnan()
    mean.reset()
    mean.update(torch.tensor(2.0), 1)
    assert float(mean.compute()) == 2
