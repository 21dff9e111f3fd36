"""The log of a training: Lightning's CSV file, gone on with when the training is."""

from __future__ import annotations

import csv
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger

FILE = "metrics.csv"
INTERVAL = 1.0
"""Seconds after which new rows are written, at the latest with the next one."""
LAST = "train_loss"
"""What is logged last of an epoch, after the results of its evaluation."""


class RunLog(CSVLogger):
    """Writes `metrics.csv` in a folder; `kept` are the rows of an earlier part of the same training."""

    def __init__(self, folder: Path, kept: list[dict[str, Any]]) -> None:
        super().__init__(folder.parent, folder.name, version="")
        self.experiment.metrics = kept
        self.epoch_row: dict[str, Any] = {}
        """What there is to say of the epoch that has just ended."""
        self.written = time.monotonic()

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row for a step, or to the one row of an epoch, which are numbered from 1."""
        row = {**metrics, "epoch": int(metrics["epoch"]) + 1} if "epoch" in metrics else dict(metrics)
        if "loss" in row:
            super().log_metrics(row, step)
            return
        self.epoch_row |= {**row, "step": step}
        if LAST in row:
            row, self.epoch_row = self.epoch_row, {}
            super().log_metrics(row, row.pop("step"))

    def save(self) -> None:
        """Write new rows, but not after every step: opening the file takes longer than a small step."""
        if time.monotonic() - self.written > INTERVAL:
            self.write()

    def write(self) -> None:
        """Write all rows that are not in the file yet."""
        super().save()
        self.written = time.monotonic()

    def finalize(self, status: str) -> None:
        """Write what is left, however the training ended."""
        self.write()


def rows_before(path: Path, step: int) -> list[dict[str, Any]]:
    """Return the rows of a log that were written before a step."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if int(row["step"]) < step]


ADVICE = (
    ".*does not have many workers.*",
    ".*Experiment logs directory.*",
    ".*smaller than the logging interval.*",
    ".*in eval mode at the start of training.*",
    ".*treespec, LeafSpec.*",
    ".*Total length of .* across ranks is zero.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*before .optimizer.step\\(\\)..*",
    ".*epoch parameter in .scheduler.step.*",
)
"""Warnings of Lightning about choices made here on purpose, and about its own use of torch."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips and advice out of a person's sight; its errors stay."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for text in ADVICE:
                warnings.filterwarnings("ignore", text)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
