"""Training beside loops written by hand in plain PyTorch: `PYTHONPATH=. python benchmarks/training.py [JOB ...]`.

Both are measured in turn, in one process, in CPU time, from the first batch to the last evaluation, without a log.
Both do the same work: after each epoch they evaluate, and keep the last state and, where one is chosen, the best in
files that are whole, or not there; those by hand with `torch.save`. A second figure leaves the files out of both. The
jobs are those of `specs/` as they stand, whose steps are small, and some of them with a wider network.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from pytorch_lightning import Trainer
from torch import nn

import compiler
import runtime
from benchmarks import plain_data
from benchmarks.measured import Row
from runtime.training.learner import Learner
from tests.jobs import alice, fine_tuned, houses, llama, pumps, shapes
from tests.jobs.plain import Data, Keep

SPECS = Path(__file__).parents[1] / "specs"
ROUNDS = 5


@dataclass(frozen=True)
class Job:
    """One training."""

    spec: str
    epochs: int
    size: str
    """The width of its network, and how many items a batch has."""
    width: int | None = None
    """Another width than that of the spec."""
    depth: int | None = None
    limit: float = 1.15
    watched: bool = True

    @property
    def title(self) -> str:
        watched = "" if self.spec != "digits" else ", watched" if self.watched else ", not watched"
        return f"{self.spec}{watched}, {self.size}"


JOBS = {
    "digits": Job("digits", 6, "16 channels, batches of 128", limit=1.1, watched=False),
    "digits-watched": Job("digits", 6, "16 channels, batches of 128", limit=1.2),
    "shapes": Job("shapes", 8, "16 channels, batches of 24"),
    "shapes-wide": Job("shapes", 3, "64 channels, batches of 24", 64),
    "houses": Job("houses", 30, "128 wide, batches of 64"),
    "houses-wide": Job("houses", 4, "4 × 1,024 wide, batches of 64", 1024, 4),
    "fine_tuned": Job("fine_tuned", 15, "16 channels, batches of 32"),
    "alice": Job("alice", 1, "3 × 96 wide, 4 batches of 16 × 64 in a step"),
    "pumps": Job("pumps", 12, "16 channels, batches of 48"),
    "pumps-wide": Job("pumps", 3, "64 channels, batches of 48", 64),
}
QUICK = ("digits", "digits-watched", "houses")


@dataclass
class Files:
    """Writes what a loop by hand keeps, and the time that both take for it."""

    folder: Path
    taken: float = 0.0

    def __call__(self, name: str, epoch: int, **parts: Any) -> None:
        start, beside = time.process_time(), self.folder / f"{name}.part"
        with beside.open("wb") as file:
            torch.save({"epoch": epoch, **{key: part.state_dict() for key, part in parts.items()}}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.folder / f"{name}.pt")
        self.taken += time.process_time() - start


@dataclass
class Clock:
    """Measures the loop of a training, which it keeps without a log, and what of it is for checkpoints."""

    loop: float = 0.0
    files: float = 0.0
    patches: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Clock:
        started, saved = Learner.on_train_start, Trainer.save_checkpoint

        def on_train_start(learner: Learner) -> None:
            learner.trainer.loggers = []
            started(learner)
            self.loop = -time.process_time()

        def on_train_end(learner: Learner) -> None:
            self.loop += time.process_time()

        def save_checkpoint(*arguments: Any, **options: Any) -> None:
            start = time.process_time()
            saved(*arguments, **options)
            self.files += time.process_time() - start

        for where, hook in ((Learner, on_train_start), (Learner, on_train_end), (Trainer, save_checkpoint)):
            self.patches.enter_context(patch.object(where, hook.__name__, hook))
        return self

    def __exit__(self, *_: object) -> None:
        self.patches.close()


def train_digits(model: nn.Module, data: Data, epochs: int, keep: Keep) -> None:
    """Train as `specs/digits.yaml` says."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for epoch in range(epochs):
        model.train()
        for batch in data.train(epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(batch["image"]), batch["label"]).backward()
            optimizer.step()
        schedule.step()
        fine_tuned.evaluate(model, data.test)
        keep("last", epoch, model=model, optimizer=optimizer, schedule=schedule)


def loop_of(job: Job, artifact: compiler.Artifact) -> Callable[[Keep], object]:
    """Return the loop of a job by hand, with its data loaded."""
    epochs = job.epochs
    match job.spec:
        case "shapes":
            images, width = plain_data.shapes(), job.width or 16
            return lambda keep: shapes.train(shapes.Shapes(width), images, epochs, epochs, keep)
        case "houses":
            rows, wide, depth = plain_data.houses(), job.width or 128, job.depth or 2
            return lambda keep: houses.train(houses.Houses(wide, depth), rows, epochs, keep)
        case "pumps":
            signals, channels = plain_data.pumps(), job.width or 16
            return lambda keep: pumps.train(pumps.Pumps(channels), signals, epochs, keep)
        case "fine_tuned":
            few = plain_data.digits(32, 359, 359)
            return lambda keep: fine_tuned.train(fine_tuned.FineTuned(16), few, epochs, keep)
        case "alice":
            text, count = plain_data.alice()
            return lambda keep: alice.train(llama.Llama(70, 96, 3, 4, 256), text, epochs, 40, count, keep)
    digits, model = plain_data.digits(128, 1438, 359), runtime.build(artifact, device="cpu")
    return lambda keep: train_digits(deepcopy(model), digits, epochs, keep)


def compiled(job: Job) -> compiler.Artifact:
    """Return the spec of a job."""
    set_ = {name: value for name in ("width", "depth") if (value := getattr(job, name)) is not None}
    if job.watched:
        return compiler.compile(SPECS / f"{job.spec}.yaml", set=set_)
    lines = (SPECS / f"{job.spec}.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    return compiler.compile_text("".join(line for line in lines if "watch:" not in line), set=set_)


def by_hand(loop: Callable[[Keep], object]) -> tuple[float, float]:
    """Return the seconds of a loop written by hand, and those of its files."""
    gc.collect()
    with TemporaryDirectory() as folder:
        files, start = Files(Path(folder)), time.process_time()
        loop(files)
        return time.process_time() - start, files.taken


def ours(artifact: compiler.Artifact, epochs: int) -> tuple[float, float]:
    """Return the seconds of the loop of a training, and those of its checkpoints."""
    gc.collect()
    with TemporaryDirectory() as folder, Clock() as clock:
        runtime.train(artifact, device="cpu", out=folder, epochs=epochs, progress=False, data_paths=[SPECS])
        return clock.loop, clock.files


def measured(job: Job, rounds: int) -> Iterator[Row]:
    """Measure one job: with checkpoints on both sides, and without on both."""
    artifact = compiled(job)
    loop = loop_of(job, artifact)
    taken = [(ours(artifact, job.epochs), by_hand(loop)) for _ in range(rounds + 1)][1:]
    hand, kept = (median(each) for each in zip(*(theirs for _, theirs in taken), strict=True))
    told = f"by hand {hand:.2f} s, of which files {kept:.2f} s"
    whole = tuple(mine / theirs for (mine, _), (theirs, _) in taken)
    without = tuple((mine - mine_kept) / (theirs - kept) for (mine, mine_kept), (theirs, kept) in taken)
    work = f"{job.title}: training ÷ a loop by hand"
    yield Row(9, work, whole, job.limit, note=f"{told}. {OBSTACLE}")
    yield Row(9, f"{work}, no checkpoints in both", without, note=told)


OBSTACLE = "What is left are Lightning's calls around each epoch, which do not grow with the network."


def rows(quick: bool) -> Iterator[Row]:
    """Measure all jobs, or those that take seconds."""
    torch.set_num_threads(1)
    for name in QUICK if quick else JOBS:
        yield from measured(JOBS[name], 2 if quick else ROUNDS)


def main() -> None:
    """Print the rows of the jobs that are named, or of all."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or JOBS:
        for row in measured(JOBS[name], ROUNDS):
            spread = f"{min(row.samples):.2f}–{max(row.samples):.2f}"
            print(f"{row.figure:.2f} ({spread})  {row.work}  [{row.note}]", flush=True)


if __name__ == "__main__":
    main()
