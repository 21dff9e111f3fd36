"""The log of a training: Lightning's CSV file, gone on with when the training is."""

from __future__ import annotations

import csv
import io
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from runtime.files.appended import append
from runtime.files.atomic import write_whole

FILE = "metrics.csv"
INTERVAL = 1.0
"""Seconds after which new rows are written, at the latest with the next one."""
LAST = "train_loss"
"""What is logged last of an epoch, after the results of its evaluation."""


class RunLog(CSVLogger):
    """Writes `metrics.csv` in a folder; `kept` are the rows of an earlier part of the same training."""

    def __init__(self, folder: Path, kept: list[dict[str, Any]]) -> None:
        super().__init__(folder.parent, folder.name, version="")
        self._experiment = LogFile(self.log_dir, kept)
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

    def write(self, durable: bool = False) -> None:
        """Write all rows that are not in the file yet, and make all durable on request."""
        self.experiment.save(durable)
        self.written = time.monotonic()

    def finalize(self, status: str) -> None:
        """Write what is left, however the training ended."""
        self.write()

    @property
    def experiment(self) -> Any:
        """The file."""
        return self._experiment


class LogFile(ExperimentWriter):
    """Lightning's CSV file, which a killed process leaves with all rows that it had; the last one may be cut off.

    An older file stays until there is a first row, and its place is taken in one step.
    """

    def __init__(self, folder: str, kept: list[dict[str, Any]]) -> None:
        super().__init__(folder)
        self.kept: list[dict[str, Any]] | None = kept
        """What the file begins with, until it does."""

    def _check_log_dir_exists(self) -> None:
        """Do not remove an older file."""

    def save(self, durable: bool = False) -> None:
        """Write what was logged, and make it durable on request."""
        new_columns = self._record_new_keys() if self.metrics else set()
        if new_columns or self.kept:
            self._replace(Path(self.metrics_file_path))
        elif self.metrics or durable:
            append(self.metrics_file_path, self._text(self.metrics), durable)
        self.metrics = []

    def _replace(self, path: Path) -> None:
        rows = self.kept if self.kept is not None else rows_of(path)
        self.metrics_keys = sorted({*self.metrics_keys, *(key for row in rows for key in row)})
        header = {key: key for key in self.metrics_keys}
        text = self._text([header, *rows, *self.metrics])
        write_whole(path, lambda file: file.write(text))
        self.kept = None

    def _text(self, rows: list[dict[str, Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.metrics_keys).writerows(rows)
        return text.getvalue().encode()


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, without a last one that is cut off."""
    if not path.exists():
        return []
    text = path.read_bytes().decode()
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole, newline=""))
    return [{key: value for key, value in row.items() if value} for row in rows]


def rows_before(path: Path, step: int) -> list[dict[str, Any]]:
    """Return the rows of a log that were written before a step."""
    return list(takewhile(lambda row: int(row["step"]) < step, rows_of(path)))


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
    ".*the .dataloader_iter. step flavor.*",
    ".*Found .dataloader_iter. argument in.*",
    "FSDP2-wrapped module .* returned a view tensor.*",
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
