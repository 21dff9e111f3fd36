"""What Lightning's Trainer drives: one step of training, one of evaluation, the optimiser and its schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader
from torchmetrics import Metric

from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.reasons import reason
from compiler.training.metric import make_metric
from compiler.training.monitor import LOSS, VALIDATION
from compiler.training.objective import Objective
from compiler.training.section import Training
from runtime.mesh.attendance import is_lost
from runtime.training.checkpoints import RUN
from runtime.training.clipping import clip_gradients
from runtime.training.data import Splits
from runtime.training.hooks import signed
from runtime.training.items import Batch, Items, noise_seed, seed_noise, test_batches, training_batches
from runtime.training.log import RunLog
from runtime.training.mean import MeanLoss
from runtime.training.mesh_checkpoints import give_state
from runtime.training.override import go_on, memory_of, renewed_states
from runtime.training.results import plain
from runtime.training.schedule import Schedule
from runtime.training.shared_loss import SharedLoss
from runtime.training.shares import ALL, Shares, rest
from spec_schema.diagnostics import refuse
from spec_schema.source import Span

SCHEDULE = "blockprint_schedule"
MEMORY = "blockprint_memory"
"""The key under which a checkpoint says which optimizer has which parameters."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained, on what, and towards what."""

    model: nn.Module
    inputs: tuple[str, ...]
    """The fields of the batch that the model takes, in the order of its `forward`."""
    training: Training
    functions: Mapping[str, Callable[..., Any]]
    """The loss, and what each metric compares, by the title of the objective."""
    splits: Splits | None
    seed: int
    run: Mapping[str, Any]
    """What checkpoints say of the training."""
    loaders: Mapping[str, Any] = field(default_factory=dict)
    """Batches of each split where the caller brings them; `splits` is None then."""
    shares: Shares = ALL
    """Which part of each batch this process has."""
    is_mean: bool = False
    """Whether the loss of a batch is the mean of those of its items."""

    def items(self, split: str) -> Items | None:
        """Return the items of a split, None where there are none."""
        found: Items | None = getattr(self.splits, split, None)
        return found

    def has(self, split: str) -> bool:
        """Return whether there is a split, of whomever."""
        return split in self.loaders or self.items(split) is not None

    def compute(self, objective: Objective, output: Any, batch: Batch) -> Any:
        """Return the value of an objective."""
        return self.functions[objective.title](output, *(batch[name] for name in objective.fields))


class Learner(L.LightningModule):
    """A model with its task. The task is kept out of the modules, so that the model stays what it is."""

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.model = task.model
        self.task = task
        self.optimizer, self.schedule, self.steps = optimizer, schedule, steps
        self.mean_loss = {name: MeanLoss() for name in ("train_loss", LOSS, "test_loss")}
        self.window: list[Tensor] = []
        """The losses of the batches that the next step is made from."""
        self.stepped = 0
        self.overrides = False
        """Whether optimizer and schedule are others than those of the checkpoint that is resumed."""
        self.shown: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        """The trainer's own, which it makes ready anew whenever it is asked for them."""
        self.reported: dict[str, Any] = {}
        """What the row of the epoch in the log has."""
        self.noted: dict[str, Tensor] = {}
        """What the row of the next step in the log has beside its loss and rates."""
        self.measures: dict[str, Metric] = {
            measure.name: make_metric(measure.making) for measure in task.training.metrics
        }
        self.results: dict[str, Any] = {}
        """The last value of each metric, and the mean losses."""
        self.whole_loss = SharedLoss(
            partial(task.compute, task.training.loss), task.training.loss, task.shares, task.is_mean
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """Return a copy of the model alone under the same name, for the average of its parameters."""
        copy = nn.Module()
        copy.model = deepcopy(self.model, memo)
        return copy

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a plain attribute anew without the looks that torch takes: Lightning sets some at each of its calls."""
        if name in self.__dict__ and not isinstance(value, nn.Module | Tensor):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # Data.

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if not isinstance(batch, dict):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        wait = device.type in ("cpu", "mps")
        return {
            name: value.to(device, non_blocking=not wait) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }

    def train_dataloader(self) -> DataLoader[Batch]:
        task = self.task
        if task.splits is None:
            loader: DataLoader[Batch] = task.loaders["train"]
            return loader
        loading, batch = task.training.data.loading, task.training.batch
        epoch = self.epoch_under_way
        pinned, part = self._pinned(), task.shares.part
        return training_batches(task.splits.train, batch, task.seed, epoch, loading, pinned, part)

    def val_dataloader(self) -> Any:
        """Return what is evaluated after each epoch: the validation split, or the test split where there is none."""
        return self.batches("validation" if self.task.has("validation") else "test")

    def test_dataloader(self) -> Any:
        return self.batches("test")

    def batches(self, split: str, size: int | None = None) -> Any:
        """Return the batches of a split in the order of its items, or all of batches of another size."""
        items, training = self.task.items(split), self.task.training
        if items is None:
            return self.task.loaders.get(split, [])
        part = self.task.shares.part if size is None else None
        return test_batches(items, size or training.batch, training.data.loading, self._pinned(), part)

    def _pinned(self) -> bool:
        """Return whether batches are loaded into memory that a GPU copies from."""
        return bool(self.device.type == "cuda")

    def epoch_under_way(self) -> int:
        """Return the epoch under way. A resumed training asks before Lightning has set its `current_epoch`."""
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        return int(progress.processed)

    # Training.

    def on_fit_start(self) -> None:
        for metric in self.measures.values():
            metric.to(self.device)
            if self.task.shares.on_mesh:
                self.task.shares.measure(metric)

    def on_train_start(self) -> None:
        self.stepped = self.global_step
        self.shown, self.logged = self.trainer.callback_metrics, self.trainer.logged_metrics

    def on_train_epoch_start(self) -> None:
        seed = noise_seed(self.task.seed, self.epoch_under_way(), self.task.shares.own)
        seed_noise(seed, self.device)
        self.mean_loss["train_loss"].reset()

    @signed
    def training_step(self, batch: Batch, index: int) -> Tensor:
        return self.loss_of(batch, index)

    def loss_of(self, batch: Batch, index: int) -> Tensor:
        """Return what gradients come from, and keep the loss of the whole batch for what is told of the next step."""
        total = self._count(batch, "train", index)
        found, loss = self._loss(batch, total)
        self.mean_loss["train_loss"].update(loss, total)
        self.window.append(loss.detach())
        one = len(self.window) == 1
        self.shown["loss"] = self.window[0] if one else torch.stack(self.window).mean()
        return found

    def _loss(self, batch: Batch, total: int) -> tuple[Tensor, Tensor]:
        try:
            return self.whole_loss(self._forward(batch), batch, total)
        except TORCH_ERRORS as error:
            raise self.failed(error, self.task.training.loss.place) from error

    def backward(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().backward(*args, **kwargs)
        except TORCH_ERRORS as error:
            raise self.failed(error, self.task.training.loss.place) from error

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        self.after_batch()

    def after_batch(self) -> None:
        """Log a step that was taken with the batch, go on with the schedule, and end where the last one was that."""
        trainer: Any = self.trainer
        step = trainer.global_step
        if step == self.stepped:
            return  # there are more batches to come for the next step
        self.stepped = step
        every = trainer.log_every_n_steps
        if trainer.loggers and every and not step % every:
            self._write({"loss": self.shown["loss"], **self._rates(), **self.noted})
        self.noted = {}
        self.window.clear()
        if self.schedule is not None and self.schedule.every == "step":
            self.schedule.scheduler.step()
        if self.steps is not None and step >= self.steps:
            trainer.should_stop = True

    def _write(self, row: dict[str, Any]) -> None:
        """Log what there is to say of a step, or an epoch. Lightning's `self.log` makes a metric of each number."""
        self.logged.update(row)
        numbers = {"epoch": self.current_epoch, **{name: float(value) for name, value in row.items()}}
        for logger in self.trainer.loggers:
            logger.log_metrics(numbers, self.global_step - 1)
            logger.save()

    def on_train_epoch_end(self) -> None:
        self._report("train_loss", self.mean_loss["train_loss"])
        self._write(self.reported)
        self.reported = {}
        if self.schedule is None or self.schedule.every != "epoch":
            return
        scheduler = self.schedule.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self._watched())
        else:
            scheduler.step()

    def _watched(self) -> float:
        """Return what a schedule follows that goes on when a result gets no better."""
        monitor = self.task.training.monitor
        names = [monitor.name] if monitor is not None else []
        found = (self.results.get(name) for name in (*names, LOSS, "test_loss", "train_loss"))
        return float(next(value for value in found if value is not None))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().optimizer_step(*args, **kwargs)
        except TORCH_ERRORS as error:
            raise self.failed(error, self.task.training.optimizers[0].span) from error

    def _rates(self) -> dict[str, Any]:
        """Return the rate of the first group, and that of each where there are several."""
        assert self.optimizer is not None
        rates = [group["lr"] for group in self.optimizer.param_groups]
        each = {f"lr/{number}": rate for number, rate in enumerate(rates)} if len(rates) > 1 else {}
        return {"lr": rates[0], **each}

    def configure_optimizers(self) -> Optimizer:
        assert self.optimizer is not None  # there is none for an evaluation alone
        return self.optimizer

    # Evaluation.

    @property
    def prefix(self) -> str:
        """What the names of the results begin with, of what is evaluated now."""
        return VALIDATION if self.task.has("validation") and not self.trainer.testing else ""

    @property
    def loss_name(self) -> str:
        return LOSS if self.prefix else "test_loss"

    def on_validation_epoch_start(self) -> None:
        self.mean_loss[self.loss_name].reset()
        for metric in self.measures.values():
            metric.reset()

    on_test_epoch_start = on_validation_epoch_start

    @signed
    def validation_step(self, batch: Batch, index: int) -> None:
        self.evaluate_batch(batch, index)

    test_step = validation_step

    def evaluate_batch(self, batch: Batch, index: int) -> None:
        """Let all metrics and the mean loss see a batch."""
        total = self._count(batch, "validation" if self.prefix else "test", index)
        try:
            output = self._forward(batch)
            _, loss = self.whole_loss(output, batch, total)
            for measure in self.task.training.metrics if self.task.shares.size(total) else ():
                self.measures[measure.name].update(*self.task.compute(measure.of, output, batch))
        except TORCH_ERRORS as error:
            raise self.failed(error, self.task.training.loss.place) from error
        self.mean_loss[self.loss_name].update(loss, total)

    def on_validation_epoch_end(self) -> None:
        rest(self.model)
        self._report(self.loss_name, self.mean_loss[self.loss_name])
        for name, metric in self.measures.items():
            self._report(self.prefix + name, metric)

    on_test_epoch_end = on_validation_epoch_end

    def _report(self, name: str, metric: Metric | MeanLoss) -> None:
        """Keep the value of a metric; show it to callbacks, and log it with its epoch, if it is a single number."""
        value = metric.compute()
        single = isinstance(value, Tensor) and value.numel() == 1
        self.results[name] = float(value) if single else plain(value)
        if single and self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.reported[name] = self.trainer.callback_metrics[name] = value.float().reshape(())

    def _forward(self, batch: Batch) -> Any:
        return self.model(*(batch[name] for name in self.task.inputs))

    def failed(self, error: Exception, place: Span) -> Exception:
        """Return, located, what goes wrong in a step although the first batch was tried."""
        if is_lost(error):
            return error
        return refuse("training-failed", f"step {self.global_step} failed: {reason(error)}", place)

    def _count(self, batch: Batch, split: str, index: int) -> int:
        """Return how many items all of a batch has, of which this process may have a part."""
        items = self.task.items(split)
        if items is None or self.task.shares.count == 1:
            return len(batch[self.task.inputs[0]])
        size = self.task.training.batch
        return min(size, len(items) - index * size)

    def clip_gradients(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        """Clip as Lightning does, or where gradients lie on ranks, those of all ranks together."""
        clipping = self.task.training.clip
        if clipping is None or not self.task.shares.on_mesh:
            super().clip_gradients(optimizer, *args, **kwargs)
            return
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        clip_gradients(parameters, clipping.largest, clipping.by)

    # Checkpoints.

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load the state of a whole model, of which this process may have a part."""
        if not self.task.shares.on_mesh:
            return super().load_state_dict(state_dict, *args, **kwargs)
        return give_state(self.model, state_dict, "model.")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert self.optimizer is not None
        for logger in self.trainer.loggers:
            if isinstance(logger, RunLog):
                logger.write(durable=True)  # no checkpoint is ahead of the log: a training goes on with both
        checkpoint[RUN] = dict(self.task.run)
        checkpoint[MEMORY] = memory_of(self.optimizer, self.model)
        if self.schedule is not None:
            checkpoint[SCHEDULE] = self.schedule.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.overrides:
            self._renew(checkpoint)
        elif self.schedule is not None:
            self.schedule.scheduler.load_state_dict(checkpoint[SCHEDULE])

    def _renew(self, checkpoint: dict[str, Any]) -> None:
        """Put what optimizer and schedule are now where the checkpoint has what they were."""
        assert self.optimizer is not None
        if self.schedule is not None:
            by_step = self.schedule.every == "step"
            times = checkpoint["global_step"] if by_step else checkpoint["epoch"] + 1
            go_on(self.schedule, times, checkpoint.get(SCHEDULE))
        (states,) = checkpoint["optimizer_states"]
        renewed = renewed_states(states, checkpoint[MEMORY], self.optimizer, self.model)
        checkpoint["optimizer_states"] = [renewed]
