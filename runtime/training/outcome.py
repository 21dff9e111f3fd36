"""What comes of a training: the trained model and its files, or how far it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from spec_schema.shown import shown


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training. `path` is the saved model."""

    model: nn.Module = field(repr=False)
    metrics: Mapping[str, Any]
    """`train_loss` of the last epoch; of the test split, if there is one, `test_loss` and the spec's metrics."""
    path: Path
    digest: str
    """That of the saved model."""
    checkpoint: Path
    """The state after the last whole epoch, from which the training can go on."""
    log: Path
    """A CSV file: the loss of each step, watched norms, and the metrics of each epoch."""
    epochs: int
    steps: int
    best_epoch: int | None = None
    """The epoch whose model is saved, if a result is monitored; else it is the last one."""


class Interrupted(KeyboardInterrupt):
    """A training was interrupted from the keyboard. `checkpoint` is the last whole one, or None."""

    def __init__(self, checkpoint: Path | None, epochs: int) -> None:
        self.checkpoint, self.epochs = checkpoint, epochs
        message = "interrupted before the first epoch was over; there is nothing to resume"
        if checkpoint is not None:
            done = f"{epochs} epoch{'' if epochs == 1 else 's'}"
            message = f"interrupted after {done}: go on with the same command and `--resume {shown(str(checkpoint))}`"
        super().__init__(message)
