"""The log of a training for TensorBoard: Lightning's own, gone on with when the training is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

FOLDER = "tensorboard"


class EventLog(TensorBoardLogger):
    """Writes event files in a folder. Of an earlier training there, TensorBoard shows what came before `step`."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(
            folder.parent,
            folder.name,
            version="",
            default_hp_metric=False,
            purge_step=step,
            filename_suffix=f".{step}",  # else a name is that of the second, and may be there already
        )
        self.folder = folder

    @property
    def log_dir(self) -> str:
        """The folder as it is: Lightning's would replace what looks like a variable of the environment."""
        return str(self.folder)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values; epochs are numbered from 1, as elsewhere."""
        row = {**metrics, "epoch": int(metrics["epoch"]) + 1} if "epoch" in metrics else metrics
        super().log_metrics(row, step)

    def save(self) -> None:
        """Write what is pending, and no file of hyperparameters, of which there are none."""
        self.experiment.flush()
