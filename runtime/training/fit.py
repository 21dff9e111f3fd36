"""One training, from the artifact to the saved model."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from torch import nn

from compiler.artifact import Artifact
from compiler.training.groups import ALONE
from compiler.training.monitor import LOSS, VALIDATION
from compiler.training.section import PRECISIONS, Training
from runtime.build import build
from runtime.files.header import FileError
from runtime.mesh.attendance import goes_on
from runtime.placement import Devices, settle, target_devices
from runtime.report.page import write_report
from runtime.store import save
from runtime.training.callbacks import Average, BestCheckpoint, Patience
from runtime.training.checkpoints import (
    LastCheckpoint,
    SafeCheckpoints,
    check_run,
    describe_run,
    read_checkpoint,
)
from runtime.training.data import open_data
from runtime.training.hooks import without_idle_hooks
from runtime.training.learner import MEMORY, Learner, Task
from runtime.training.log import FILE, RunLog, quiet, rows_before
from runtime.training.no_profiler import NoProfiler
from runtime.training.on_ranks import build_on_ranks, check_shares
from runtime.training.optimizers import make_optimizer
from runtime.training.outcome import Interrupted, Trained
from runtime.training.progress import Bar, EpochLines
from runtime.training.schedule import follows_length, make_schedule
from runtime.training.shares import ALL, rest
from runtime.training.stepping import SteppingLearner
from runtime.training.task import make_task, on_device, several_devices
from runtime.training.tensorboard import FOLDER, EventLog
from runtime.training.watch import Watch
from spec_schema.folders import Folders
from spec_schema.limits import DEFAULT_LIMITS


@dataclass(eq=False)
class Fit:
    """The training of one artifact."""

    artifact: Artifact
    training: Training
    seed: int
    device: Devices
    out: Path
    epochs: int | None
    """The number of epochs that the caller wants instead of the spec's length."""
    allow_large: bool = False
    data_paths: tuple[Path, ...] = ()
    data_limit: int = DEFAULT_LIMITS.data_bytes
    callbacks: tuple[Callback, ...] = ()
    loggers: tuple[Logger, ...] = ()
    loaders: Mapping[str, Any] | None = None
    """Batches of each split, instead of the data of the spec."""
    override: tuple[str, ...] = ()
    """Sections whose values are not those of the checkpoint that is resumed."""
    sizes: Mapping[str, int] | None = None
    """Sizes of axes instead of the spec's, where this process is one of several ranks; None where it trains alone."""

    def __post_init__(self) -> None:
        self.folder = self.artifact.folder
        name = self.artifact.program.document.name
        self.title = name.text if name is not None else self.artifact.program.name.lower()
        self.own = self.out / self.title
        length = self.epochs or self.training.epochs or self.training.steps
        assert length is not None  # one of the two stands in a checked section
        self.length: int = length
        self.by_step = self.epochs is None and self.training.epochs is None
        self.shares = ALL

    def learner(self, resume: str | Path | None = None) -> tuple[Learner, int]:
        """Return the learner of a new model, and how many epochs it is trained for."""
        model = self._model(resume)
        task, batches = self._task(model, next(model.parameters()).device)
        steps = -(-batches // self.training.accumulate)
        epochs = -(-self.length // steps) if self.by_step else self.length
        return self._learner(task, epochs * steps), epochs

    def _model(self, resume: str | Path | None) -> nn.Module:
        """Return a new model, or this rank's part of one."""
        if self.sizes is None:
            return build(self._on_one_device(), self.seed, None, self.folder, self.allow_large)
        if self.loaders is not None:
            raise ValueError(
                "batches of the caller are those of one process, and this is one of several ranks"
            )
        agreed = self.length, self.by_step, resume, self.override
        found = build_on_ranks(
            self.artifact, self.training, self.sizes, self.seed, self.device, self.allow_large, agreed
        )
        self.shares = found.shares
        return found.model

    def run(self, resume: str | Path | None, progress: bool) -> Trained:
        """Train, and save the model."""
        last = LastCheckpoint(self.own / "checkpoint.safetensors")
        if self.sizes is not None and goes_on():
            resume = last.path  # torchrun started the ranks again
        with torch.random.fork_rng(), quiet():
            learner, epochs = self.learner(resume)
            model, task = learner.model, learner.task
            device = next(model.parameters()).device
            if resume is not None:
                learner.overrides = self._check_resume(Path(resume), task)
            trainer = self._trainer(learner, device, epochs, last, resume, progress)
            candidates = [last.path, *([Path(resume)] if resume is not None else [])]
            with _interruptible(trainer, task, candidates, self.override):
                trainer.fit(learner, ckpt_path=str(resume) if resume is not None else None, weights_only=True)
                self._finish(trainer, learner)
        model.to(device)
        path = self.out / f"{self.title}.safetensors"
        digest = save(model, path)
        trained = Trained(
            model,
            {name: value for name in self._columns() if (value := learner.results.get(name)) is not None},
            path,
            digest,
            last.path,
            self.own / FILE,
            learner.epoch_under_way(),
            trainer.global_step,
            None if self.best is None else self.best.epoch,
            self.out / f"{self.title}.html" if self.training.logs.report else None,
        )
        if trained.report is not None:
            write_report(trained.report, trained, learner, self.artifact, device, self.seed)
            model.to(device)
        return trained

    def _on_one_device(self) -> Artifact:
        """Return the model on its device, or refuse one on several."""
        settled = settle(self.artifact, self.device, self.allow_large)
        names = [str(device) for device in dict.fromkeys(target_devices(settled.plan).values())]
        if len(names) > 1:
            raise several_devices(names, "trained", self.training.data.span, "trained here")
        return settled

    def _finish(self, trainer: L.Trainer, learner: Learner) -> None:
        """Turn to the average, or to the best epoch, and evaluate what was not evaluated after its last epoch."""
        if self.average is not None:
            self.average.restore(learner)
        if self.best is not None:
            self.best.restore(learner, self.allow_large)
        if learner.task.has("validation") and (self.best is not None or LOSS not in learner.results):
            trainer.validate(learner, verbose=False)
        if learner.task.has("test") and "test_loss" not in learner.results:
            trainer.test(learner, verbose=False)
        rest(learner.model)

    def _columns(self) -> list[str]:
        names = [measure.name for measure in self.training.metrics]
        validation = [LOSS, *(VALIDATION + name for name in names)]
        return ["train_loss", *validation, "test_loss", *names]

    # What is trained, and how.

    def _task(self, model: nn.Module, device: torch.device) -> tuple[Task, int]:
        """Return the task, and the number of batches in an epoch."""
        training = self.training
        splits = None
        if self.loaders is None:
            folders = Folders(self.folder, self.data_paths)
            splits = open_data(self.artifact, training, folders, self.data_limit, self.seed)
            check_shares(training, splits, self.shares)
        run = describe_run(self.artifact, self.seed, self.length)
        task = make_task(
            self.artifact, training, model, splits, device, self.seed, run, self.loaders, self.shares
        )
        if splits is None:
            return task, len(task.loaders["train"])
        return task, -(-len(splits.train) // training.batch)

    def _learner(self, task: Task, all_steps: int) -> Learner:
        """Return the learner; `all_steps` are those of all epochs."""
        training = self.training
        optimizer = make_optimizer(training, task.model)
        steps = self.length if self.by_step else None
        epochs = None if self.by_step else self.length
        schedule = make_schedule(training.schedule, optimizer, epochs, steps or all_steps, training.warmup)
        learner = SteppingLearner if self._steps_itself() else Learner
        return learner(task, optimizer, schedule, steps)

    def _check_resume(self, path: Path, task: Task) -> bool:
        """Make sure that the training can go on from a checkpoint; return whether some of it has new values."""
        state = read_checkpoint(path, self.allow_large)
        differs = check_run(state, task.run, follows_length(self.training.schedule), self.override, path)
        done = state["global_step"] if self.by_step else state["epoch"] + 1
        if done > self.length:
            unit = "steps" if self.by_step else "epochs"
            raise FileError(f"the checkpoint is one after {done} {unit}, and the training has {self.length}")
        if differs and MEMORY not in state:
            raise FileError(
                "the checkpoint is of an earlier version, whose trainings go on as they are alone"
            )
        return differs

    # Lightning.

    def _trainer(
        self,
        learner: Learner,
        device: torch.device,
        epochs: int,
        last: LastCheckpoint,
        resume: str | Path | None,
        progress: bool,
    ) -> L.Trainer:
        progress = progress and not self.shares.rank
        shown, clip = progress and sys.stderr.isatty(), self.training.clip
        direct = not learner.automatic_optimization
        watch = Watch(learner.model, self.training.watch) if self.training.watch else None
        callbacks: list[Callback] = [*([watch] if watch else []), *self._choosing(), last]
        if isinstance(learner, SteppingLearner):
            learner.watch, learner.average = watch, self.average
        without_idle_hooks(learner, callbacks)
        callbacks += self.callbacks
        callbacks += [EpochLines(self.length)] if progress else []
        callbacks += [Bar()] if shown else []
        return L.Trainer(
            **on_device(device, self.shares),
            precision=self.training.precision,
            max_epochs=epochs,
            accumulate_grad_batches=1 if direct else self.training.accumulate,
            gradient_clip_val=clip.largest if clip is not None and not direct else None,
            gradient_clip_algorithm=clip.by if clip is not None and not direct else None,
            logger=self._logs(resume),
            callbacks=callbacks,
            plugins=[SafeCheckpoints(self.allow_large)],
            profiler=NoProfiler(),
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_progress_bar=shown,
            enable_model_summary=False,
            default_root_dir=self.own,
        )

    def _steps_itself(self) -> bool:
        """Return whether the learner takes each step itself, which is less work for the same numbers.

        A callback of the caller may expect that Lightning does it, for batch after batch, and batches of the caller
        may come without their number; an optimizer that asks for the loss several times needs it, and other
        precisions are those of the forward alone.
        """
        plain = self.training.precision == PRECISIONS[0] and self.loaders is None
        names = {making.name for making in self.training.optimizers}
        return plain and not (self.callbacks or names & ALONE)

    def _choosing(self) -> list[Callback]:
        """Return what averages the parameters, ends the training early, and keeps the best epoch, in this order."""
        training, monitor = self.training, self.training.monitor
        self.average = None if training.ema is None else Average(training.ema)
        self.best = None if monitor is None else BestCheckpoint(self.own, monitor)
        early = training.early_stopping
        patience = None if early is None or monitor is None else Patience(early, monitor)
        return [each for each in (self.average, patience, self.best) if each is not None]

    def _logs(self, resume: str | Path | None) -> list[Logger]:
        if self.shares.rank:
            return []  # the first rank logs
        step = 0 if resume is None else read_checkpoint(Path(resume), self.allow_large)["global_step"]
        kept = rows_before(self.own / FILE, step) if resume is not None else []
        events = [EventLog(self.own / FOLDER, step)] if self.training.logs.tensorboard else []
        return [RunLog(self.own, kept), *events, *self.loggers]


@contextmanager
def _interruptible(
    trainer: L.Trainer, task: Task, candidates: list[Path], override: tuple[str, ...]
) -> Iterator[None]:
    """Turn the way in which Lightning ends at Ctrl-C into an exception that says how to go on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as stop:
        if isinstance(stop, SystemExit) and not trainer.interrupted:
            raise
        raise _interruption(task, candidates, override) from None
    finally:
        if signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


def _interruption(task: Task, candidates: list[Path], override: tuple[str, ...]) -> Interrupted:
    """Return what to raise: the first file that is a checkpoint of this training is where it can go on."""
    for path in candidates:
        try:
            state = read_checkpoint(path, allow_large=True)
            check_run(state, task.run, False, override)
        except (FileError, FileNotFoundError):
            continue
        return Interrupted(path, state["epoch"] + 1)
    return Interrupted(None, 0)
