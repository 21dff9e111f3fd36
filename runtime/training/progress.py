"""What a person sees of a training: a line for each epoch, and in a terminal a bar for the one under way."""

from __future__ import annotations

import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from runtime.training.learner import Learner

WIDTH = 30
"""Characters of a bar, which stands among few words."""


class EpochLines(Callback):
    """Writes a line to standard error after each epoch."""

    def __init__(self, length: int) -> None:
        self.length = length
        """How many epochs the training has, or steps if it is counted in steps."""
        self.started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        parts = [
            self._place(trainer, pl_module),
            *(f"{name} {text}" for name, text in self._values(pl_module)),
        ]
        seconds = time.monotonic() - self.started
        Tqdm.write("   ".join([*parts, f"{seconds:.1f} s"]), file=sys.stderr)

    def _place(self, trainer: Trainer, learner: Learner) -> str:
        by_step = learner.steps is not None
        done = trainer.global_step if by_step else trainer.current_epoch + 1
        return f"{'step' if by_step else 'epoch'} {done:{len(str(self.length))}}/{self.length}"

    def _values(self, learner: Learner) -> list[tuple[str, str]]:
        values: dict[str, Any] = {
            "train loss": learner.mean_loss["train_loss"].compute(),
            learner.loss_name.replace("_", " "): learner.results.get(learner.loss_name),
            **{name: learner.results.get(learner.prefix + name) for name in learner.measures},
        }
        return [(title, f"{float(value):.4f}") for title, value in values.items() if _single(value)]


class Bar(TQDMProgressBar):
    """Lightning's bar, short and on standard error; evaluation has none, since it is a small part."""

    def init_train_tqdm(self) -> Any:
        return _bar()

    def init_validation_tqdm(self) -> Any:
        return Tqdm(disable=True)

    init_test_tqdm = init_validation_tqdm

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}")

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        loss = trainer.callback_metrics.get("loss")
        return {} if loss is None else {"loss": f"{float(loss):.4f}"}


class EvaluationBar(TQDMProgressBar):
    """Lightning's bar of an evaluation, or of predictions, on standard error."""

    def init_test_tqdm(self) -> Any:
        return _bar()

    init_predict_tqdm = init_test_tqdm

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        return {}


def _bar() -> Any:
    layout = "{desc} {bar:" + str(WIDTH) + "} {n_fmt}/{total_fmt}  {remaining} left{postfix}"
    return Tqdm(bar_format=layout, dynamic_ncols=True, leave=False, file=sys.stderr, smoothing=0.1)


def _single(value: Any) -> bool:
    return value is not None and not isinstance(value, list | dict)
