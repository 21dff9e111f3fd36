"""Training beside loops written by hand in plain PyTorch: `PYTHONPATH=. python benchmarks/training.py [JOB ...]`.

Both are measured in turn, in one process, in CPU time: first the loop alone, from the first batch to the last
evaluation, without and with the log; then what a training does around it. The loops by hand keep no checkpoints.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import nn

import compiler
import runtime
from benchmarks import plain_data
from tests.jobs import alice, fine_tuned, houses, llama, pumps, shapes
from tests.jobs.plain import Data

SPECS = Path(__file__).parents[1] / "specs"
ROUNDS = 3


class Clock(Callback):
    """Measures the loop, and keeps the log away if it is to be without."""

    def __init__(self, log: bool) -> None:
        self.logs, self.taken = log, 0.0  # Lightning gives each callback a method `log`

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.logs:
            trainer.loggers = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.taken = time.process_time()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.taken = time.process_time() - self.taken


def train_digits(model: nn.Module, data: Data, epochs: int) -> None:
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


def loop_of(name: str, artifact: compiler.Artifact, epochs: int) -> Callable[[], object]:
    """Return the loop of a job by hand, with its data loaded."""
    match name:
        case "shapes":
            images = plain_data.shapes()
            return lambda: shapes.train(shapes.Shapes(16), images, epochs, patience=epochs)
        case "houses":
            rows = plain_data.houses()
            return lambda: houses.train(houses.Houses(128, 2), rows, epochs)
        case "pumps":
            signals = plain_data.pumps()
            return lambda: pumps.train(pumps.Pumps(16), signals, epochs)
        case "fine_tuned":
            few = plain_data.digits(32, 359, 359)
            return lambda: fine_tuned.train(fine_tuned.FineTuned(16), few, epochs)
        case "alice":
            text, count = plain_data.alice()
            return lambda: alice.train(llama.Llama(70, 96, 3, 4, 256), text, epochs, 40, count)
    digits, model = plain_data.digits(128, 1438, 359), runtime.build(artifact, device="cpu")
    return lambda: train_digits(deepcopy(model), digits, epochs)


def by_hand(loop: Callable[[], object]) -> float:
    """Return the seconds of a loop written by hand."""
    start = time.process_time()
    loop()
    return time.process_time() - start


def ours(artifact: compiler.Artifact, epochs: int, log: bool) -> tuple[float, float]:
    """Return the seconds of the loop of a training, and those of what is around it."""
    clock, start = Clock(log), time.process_time()
    with TemporaryDirectory() as folder:
        runtime.train(
            artifact,
            device="cpu",
            out=folder,
            epochs=epochs,
            progress=False,
            data_paths=[SPECS],
            callbacks=[clock],
        )
    return clock.taken, time.process_time() - start - clock.taken


EPOCHS = {
    "digits": 6,
    "digits, watched": 6,
    "shapes": 8,
    "houses": 30,
    "fine_tuned": 15,
    "alice": 1,
    "pumps": 12,
}


def row(name: str) -> tuple[str, ...]:
    """Measure one job."""
    artifact = compiler.compile(SPECS / f"{name.removesuffix(', watched')}.yaml")
    if name == "digits":
        lines = (SPECS / "digits.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
        artifact = compiler.compile_text("".join(line for line in lines if "watch:" not in line))
    epochs = EPOCHS[name]
    loop = loop_of(name, artifact, epochs)
    rounds = [
        (by_hand(loop), ours(artifact, epochs, log=False), ours(artifact, epochs, log=True))
        for _ in range(ROUNDS + 1)
    ][1:]
    hand, around = median(hand for hand, *_ in rounds), median(logged[1] for *_, logged in rounds)
    ratios = [[each[number][0] / each[0] for each in rounds] for number in (1, 2)]
    cells = [f"{median(ratio):.2f} ({min(ratio):.2f}–{max(ratio):.2f})" for ratio in ratios]
    print(name, *cells, file=sys.stderr, flush=True)
    return name, f"{hand:.2f} s", *cells, f"{around:.2f} s"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    table = Table("job", "by hand", "loop / by hand", "with the log", "around it")
    for name in sys.argv[1:] or EPOCHS:
        table.add_row(*row(name))
    Console().print(table)


if __name__ == "__main__":
    main()
