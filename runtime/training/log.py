"""The log of a training: Lightning's CSV file, gone on with when the training is, and the watched norms in it."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim import Optimizer

FILE = "metrics.csv"
LAST = "train_loss"
"""What is logged last of an epoch, after the results of its evaluation."""


class RunLog(CSVLogger):
    """Writes `metrics.csv` in a folder; `kept` are the rows of an earlier part of the same training."""

    def __init__(self, folder: Path, kept: list[dict[str, Any]]) -> None:
        super().__init__(folder.parent, folder.name, version="")
        self.experiment.metrics = kept
        self.epoch_row: dict[str, Any] = {}
        """What there is to say of the epoch that has just ended."""

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


def rows_before(path: Path, step: int) -> list[dict[str, Any]]:
    """Return the rows of a log that were written before a step."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if int(row["step"]) < step]


class Watch(Callback):
    """Logs the norms of watched tensors, and of the gradients that a step is made from, before clipping."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        tensors: Mapping[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.tensors = {name: tensors[name] for name in names}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        norms: dict[str, Any] = {}
        for name, tensor in self.tensors.items():
            norms[f"norm/{name}"] = _norm(tensor.detach())
            if tensor.grad is not None:
                norms[f"grad_norm/{name}"] = _norm(tensor.grad)
        pl_module.log_dict(norms, on_step=True, on_epoch=False)


def _norm(tensor: Tensor) -> Tensor:
    numbers = tensor if tensor.is_floating_point() or tensor.is_complex() else tensor.float()
    norm: Tensor = torch.linalg.vector_norm(numbers)
    return norm


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
