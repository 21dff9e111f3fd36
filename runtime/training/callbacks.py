"""The best epoch, an early end, and the average of the parameters: Lightning's own callbacks, resumed exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from compiler.training.monitor import EarlyStopping as Stopping
from compiler.training.monitor import Monitor
from runtime.files.header import FileError
from runtime.training.checkpoints import read_checkpoint

BEST = "best"


class BestCheckpoint(ModelCheckpoint):
    """Keeps the state after the best epoch, beside that after the last one."""

    FILE_EXTENSION = ".safetensors"

    def __init__(self, folder: Path, monitor: Monitor) -> None:
        super().__init__(
            folder,
            BEST,
            monitor.name,
            mode=monitor.mode,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.epoch: int | None = None
        """The best one, once it is restored."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, also that of a training in another folder: its best checkpoint stays there."""
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})

    def restore(self, learner: LightningModule, allow_large: bool) -> None:
        """Give the learner the values that it had after the best epoch.

        Raises:
            FileError: the best checkpoint is no longer there.
        """
        path = Path(self.best_model_path)
        try:
            state = read_checkpoint(path, allow_large)
        except FileNotFoundError:
            raise FileError(f"{path}, the checkpoint of the best epoch, is no longer there") from None
        score = state["callbacks"][self.state_key]["best_model_score"]
        if self.best_model_score is None or float(score) != float(self.best_model_score):
            raise FileError(f"{path} is no longer the checkpoint of the best epoch: train from the beginning")
        learner.load_state_dict(state["state_dict"])
        self.epoch = int(state["epoch"]) + 1


class Patience(EarlyStopping):
    """Ends a training after some epochs without a better result; one that has ended so does not go on when resumed."""

    def __init__(self, stopping: Stopping, monitor: Monitor) -> None:
        super().__init__(
            monitor.name,
            min_delta=stopping.min_delta,
            patience=stopping.patience,
            mode=monitor.mode,
            check_on_train_epoch_end=True,
        )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Listed:
    """The parameters and buffers of a model as they are now. To walk over its modules takes longer than to average."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters, self._buffers = list(module.parameters()), list(module.buffers())

    def parameters(self) -> list[nn.Parameter]:
        """Return all parameters."""
        return self._parameters

    def buffers(self) -> list[Tensor]:
        """Return all buffers."""
        return self._buffers


class Average(WeightAveraging):
    """The exponential moving average of parameters and buffers, which is what is evaluated and saved."""

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """List what is averaged, now that it lies where it is trained."""
        assert self._average_model is not None
        averaged: Any = self._average_model.module
        averaged.parameters, averaged.buffers = (listed := Listed(averaged)).parameters, listed.buffers
        self.current: Any = Listed(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, self.current, outputs, batch, batch_idx)

    def restore(self, learner: LightningModule) -> None:
        """Give the learner the average, also where no epoch was left, and be done with it."""
        self._copy_average_to_current(learner)
        self._average_model = None
