"""What comes of a training: the trained model and its files, or how far it got."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
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
    report: Path | None = None
    """An HTML page that shows the training, if the spec does not leave it out."""


def next_steps(trained: Trained, folder: Path, program: str) -> Iterator[tuple[str, str]]:
    """Yield what can be done with a trained model, and how. `folder` is that of the spec."""
    path = quote(str(trained.path))
    yield "look at it", f"{program} params {path}"
    if "test_loss" in trained.metrics:
        yield "evaluate it", f"{program} evaluate {path} --data-path {quote(str(folder))}"
    yield "predict", f"{program} predict {path} --input FILE -o predictions.npz"
    yield "use it", f"runtime.load({json.dumps(str(trained.path), ensure_ascii=False)}) in Python"


class Interrupted(KeyboardInterrupt):
    """A training was interrupted from the keyboard. `checkpoint` is the last whole one, or None."""

    def __init__(self, checkpoint: Path | None, epochs: int) -> None:
        self.checkpoint, self.epochs = checkpoint, epochs
        message = "interrupted before the first epoch was over; there is nothing to resume"
        if checkpoint is not None:
            done = f"{epochs} epoch{'' if epochs == 1 else 's'}"
            message = f"interrupted after {done}: go on with the same command and `--resume {shown(str(checkpoint))}`"
        super().__init__(message)
