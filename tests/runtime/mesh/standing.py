"""Real ranks that stand by: processes that talk by gloo, and take one task after the other."""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

SECONDS = 60
"""After so long a rank that has not answered is taken for hung, as it is where another one failed."""


class StandingRanks:
    """Some ranks; those of which one failed are replaced before the next task."""

    def __init__(self, count: int, folder: Path) -> None:
        self.count, self.folder, self.started = count, folder, 0
        self.ranks: list[Any] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what a function of a module returns on each rank. AssertionError where it fails, or gives nothing."""
        if not self.ranks:
            self._start()
        for each in self.tasks:
            each.put((function, arguments))
        found: dict[int, Any] = {}
        try:
            while len(found) < self.count:
                rank, answer, failed = self.answers.get(timeout=SECONDS)
                assert not failed, f"rank {rank}: {failed}"
                found[rank] = answer
        except queue.Empty:
            raise AssertionError(f"no answer from {sorted({*range(self.count)} - found.keys())}") from None
        finally:
            if len(found) < self.count:
                self.stop()
        return [found[rank] for rank in range(self.count)]

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.started += 1
        store = str(self.folder / f"store-{self.started}")
        self.answers: Any = context.Queue()
        self.tasks: list[Any] = [context.Queue() for _ in range(self.count)]
        for rank, tasks in enumerate(self.tasks):
            arguments = rank, self.count, store, tasks, self.answers
            self.ranks.append(context.Process(target=_stand_by, args=arguments, daemon=True))
            self.ranks[-1].start()

    def stop(self) -> None:
        """End all ranks, whatever they do."""
        for each in self.ranks:
            each.kill()
            each.join()
        self.ranks = []


def _stand_by(rank: int, count: int, store: str, tasks: Any, answers: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=SECONDS),
    )
    while True:
        function, arguments = tasks.get()
        try:
            answers.put((rank, function(*arguments), ""))
        except BaseException:
            answers.put((rank, None, traceback.format_exc()))
