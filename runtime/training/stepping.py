"""A learner that takes its steps itself: Lightning calls it for as many batches as fit into a moment.

Lightning has both of it: steps that a module takes are a *manual optimization*, and a step with an argument
`dataloader_iter` takes the batches that it wants from the loader. What Lightning does around each call is then done
once in a moment, and not for each of many small batches. Checkpoints count batches and steps as if it had.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Callback
from torch import Tensor

from compiler.infer.calls import TORCH_ERRORS
from runtime.training.hooks import signed
from runtime.training.items import Batch
from runtime.training.learner import Learner
from runtime.training.progress_state import as_automatic, as_manual

MOMENT = 0.05
"""Seconds. A bar that moves no more often than that looks smooth."""


class SteppingLearner(Learner):
    """A learner for trainings whose steps are plain: backward, clip, step.

    Lightning tells by the name of its argument what a step takes, so that here it is another one than in a `Learner`.
    """

    watch: Callback | None = None
    """Called before each step."""
    average: Callback | None = None
    """Called after each batch: Lightning would do it after each call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False
        assert self.optimizer is not None
        self.trained = [each for group in self.optimizer.param_groups for each in group["params"]]

    @signed
    def training_step(self, dataloader_iter: Iterator[Any]) -> None:  # type: ignore[override]
        loop: Any = self.trainer.fit_loop.epoch_loop
        for batch, index in self._moment(dataloader_iter, loop.batch_progress):
            loss = self.loss_of(batch, index)
            if self._gather(loss, index, loop.batch_progress.is_last_batch):
                self._step()
                loop.manual_optimization.optim_step_progress.increment_by(1)
            if self.average is not None:
                self.average.on_train_batch_end(self.trainer, self, loss, batch, index)
            self.after_batch()
            if self.trainer.should_stop:
                return

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Do nothing: it is done after each batch."""

    @signed
    def validation_step(self, dataloader_iter: Iterator[Any]) -> None:  # type: ignore[override]
        loop: Any = self.trainer._evaluation_loop
        for batch, index in self._moment(dataloader_iter, loop.batch_progress):
            self.evaluate_batch(batch, index)

    test_step = validation_step  # type: ignore[assignment]

    def _moment(self, batches: Any, progress: Any) -> Iterator[tuple[Batch, int]]:
        """Give batches, at least one, and count those after the first, which Lightning has counted."""
        end, device = time.monotonic() + MOMENT, self.device
        for number, (batch, index, _) in enumerate(batches):
            progress.increment_by(min(number, 1), is_last_batch=batches.done)
            yield self.transfer_batch_to_device(batch, device, 0), index
            if time.monotonic() >= end:
                return

    def _gather(self, loss: Tensor, index: int, is_last: bool) -> bool:
        """Add the gradients of a batch to those of the next step; return whether it has all of them."""
        several = self.task.training.accumulate
        if index % several == 0:
            for parameter in self.trained:
                parameter.grad = None  # as `zero_grad` does, which opens a record for torch's profiler before
        self.backward(loss / several if several > 1 else loss)
        return is_last or not (index + 1) % several

    def _step(self) -> None:
        """Do what Lightning does for a step, in the same order, without the closures that other optimizers need."""
        training, optimizer = self.task.training, self.optimizer
        assert optimizer is not None
        if self.watch is not None:
            self.watch.on_before_optimizer_step(self.trainer, self, optimizer)
        if training.clip is not None:
            self.clip_gradients(optimizer, training.clip.largest, training.clip.by)
        try:
            optimizer.step()
        except TORCH_ERRORS as error:
            raise self.failed(error, training.optimizers[0].span) from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        as_automatic(checkpoint, self.task.training.accumulate)
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        as_manual(checkpoint)
        super().on_load_checkpoint(checkpoint)
