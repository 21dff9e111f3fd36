"""Real ranks for tests: processes on this computer that talk by gloo. Every wait has a limit."""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

SECONDS = 120
"""After so long a rank that has not answered is taken for hung."""


def on_ranks(count: int, folder: Path, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what a function of a module returns on each rank. AssertionError where one fails or does not answer."""
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    store = folder / f"store-{len(list(folder.iterdir()))}"
    ranks = [
        context.Process(
            target=_rank, args=(rank, count, str(store), answers, function, arguments), daemon=True
        )
        for rank in range(count)
    ]
    for each in ranks:
        each.start()
    found: dict[int, Any] = {}
    try:
        while len(found) < count:
            rank, answer, failed = answers.get(timeout=SECONDS)
            assert not failed, f"rank {rank}: {failed}"
            found[rank] = answer
    except queue.Empty:
        raise AssertionError(f"no answer from {sorted(set(range(count)) - set(found))}") from None
    finally:
        for each in ranks:
            each.join(5 if len(found) == count else 0)
            if each.is_alive():
                each.kill()
    return [found[rank] for rank in range(count)]


def _rank(
    rank: int, count: int, store: str, answers: Any, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    try:
        distributed.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=count, timeout=timedelta(seconds=60)
        )
        answers.put((rank, function(*arguments), ""))
        distributed.destroy_process_group()
    except BaseException:
        answers.put((rank, None, traceback.format_exc()))
