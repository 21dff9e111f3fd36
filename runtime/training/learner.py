"""What Lightning's Trainer drives: one step of training, one of evaluation, the optimiser and its schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric, Metric

from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.reasons import reason
from compiler.training.objective import Objective
from compiler.training.section import Training, make_metric
from runtime.training.checkpoints import RUN
from runtime.training.data import Splits
from runtime.training.items import Batch, noise_seed, test_batches, training_batches
from runtime.training.schedule import Schedule
from spec_schema.diagnostics import refuse
from spec_schema.source import Span

SCHEDULE = "blockprint_schedule"


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained, on what, and towards what."""

    model: nn.Module
    inputs: tuple[str, ...]
    """The fields of the batch that the model takes, in the order of its `forward`."""
    training: Training
    functions: Mapping[str, Callable[..., Any]]
    """The loss, and what each metric compares, by the title of the objective."""
    splits: Splits
    seed: int
    run: Mapping[str, Any]
    """What checkpoints say of the training."""

    def compute(self, objective: Objective, output: Any, batch: Batch) -> Any:
        """Return the value of an objective."""
        return self.functions[objective.title](output, *(batch[field] for field in objective.fields))


class Learner(L.LightningModule):
    """A model with its task. The task is kept out of the modules, so that the model stays what it is."""

    def __init__(
        self, task: Task, optimizer: Optimizer, schedule: Schedule | None, steps: int | None
    ) -> None:
        super().__init__()
        self.model = task.model
        self.task = task
        self.optimizer, self.schedule, self.steps = optimizer, schedule, steps
        self.mean_loss = {"train_loss": MeanMetric(), "test_loss": MeanMetric()}
        self.measures: dict[str, Metric] = {
            measure.name: make_metric(measure.making) for measure in task.training.metrics
        }
        self.results: dict[str, Any] = {}
        """The last value of each metric, and the mean losses."""

    # Data.

    def train_dataloader(self) -> DataLoader[Batch]:
        task = self.task
        loading, batch = task.training.data.loading, task.training.batch
        return training_batches(task.splits.train, batch, task.seed, self._epoch, loading, self._pinned())

    def val_dataloader(self) -> Any:
        test, training = self.task.splits.test, self.task.training
        if test is None:
            return []
        return test_batches(test, training.batch, training.data.loading, self._pinned())

    test_dataloader = val_dataloader

    def _pinned(self) -> bool:
        """Return whether batches are loaded into memory that a GPU copies from."""
        return bool(self.device.type == "cuda")

    def _epoch(self) -> int:
        """Return the epoch under way. A resumed training asks before Lightning has set its `current_epoch`."""
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        return int(progress.processed)

    # Training.

    def on_fit_start(self) -> None:
        for metric in (*self.mean_loss.values(), *self.measures.values()):
            metric.to(self.device)

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(noise_seed(self.task.seed, self._epoch()))
        self.mean_loss["train_loss"].reset()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        with self._located(self.task.training.loss.place):
            loss: Tensor = self.task.compute(self.task.training.loss, self._forward(batch), batch)
        self.mean_loss["train_loss"].update(loss.detach(), self._count(batch))
        self.log_dict({"loss": loss.detach(), "lr": self.optimizer.param_groups[0]["lr"]}, on_step=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        if self.schedule is not None and self.schedule.every == "step":
            self.schedule.scheduler.step()
        if self.steps is not None and self.global_step >= self.steps:
            self.trainer.should_stop = True

    def on_train_epoch_end(self) -> None:
        self._report("train_loss", self.mean_loss["train_loss"])
        if self.schedule is None or self.schedule.every != "epoch":
            return
        scheduler = self.schedule.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.results.get("test_loss", self.results["train_loss"]))
        else:
            scheduler.step()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        with self._located(self.task.training.optimizer.span):
            super().optimizer_step(*args, **kwargs)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer

    # Evaluation.

    def on_validation_epoch_start(self) -> None:
        for metric in (self.mean_loss["test_loss"], *self.measures.values()):
            metric.reset()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, index: int) -> None:
        with self._located(self.task.training.loss.place):
            output = self._forward(batch)
            loss = self.task.compute(self.task.training.loss, output, batch)
            for measure in self.task.training.metrics:
                self.measures[measure.name].update(*self.task.compute(measure.of, output, batch))
        self.mean_loss["test_loss"].update(loss, self._count(batch))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._report("test_loss", self.mean_loss["test_loss"])
        for name, metric in self.measures.items():
            self._report(name, metric)

    on_test_epoch_end = on_validation_epoch_end

    def _report(self, name: str, metric: Metric) -> None:
        """Keep the value of a metric; log it if it is a single number."""
        value = metric.compute()
        single = isinstance(value, Tensor) and value.numel() == 1
        self.results[name] = float(value) if single else _plain(value)
        if single:
            self.log(name, value.float().reshape(()), on_step=False, on_epoch=True, batch_size=1)

    def _forward(self, batch: Batch) -> Any:
        return self.model(*(batch[name] for name in self.task.inputs))

    @contextmanager
    def _located(self, place: Span) -> Iterator[None]:
        """Locate what goes wrong in a step although the first batch was tried."""
        try:
            yield
        except TORCH_ERRORS as error:
            message = f"step {self.global_step} failed: {reason(error)}"
            raise refuse("training-failed", message, place) from error

    def _count(self, batch: Batch) -> int:
        return len(batch[self.task.inputs[0]])

    # Checkpoints.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[RUN] = dict(self.task.run)
        if self.schedule is not None:
            checkpoint[SCHEDULE] = self.schedule.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.schedule is not None:
            self.schedule.scheduler.load_state_dict(checkpoint[SCHEDULE])


def _plain(value: Any) -> Any:
    """Return the value of a metric that is not a single number as plain numbers."""
    match value:
        case Tensor():
            return value.tolist()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
