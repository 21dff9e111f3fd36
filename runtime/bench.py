"""How fast each device is: a matrix product, where an accelerator wins, and a sum, where it may not.

An accelerator works behind the program's back, so that a clock around a call tells nothing. `torch.utils.benchmark`
waits for the device before it reads the clock, warms up, and repeats what is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from runtime.devices import devices, resolve_device

CPU = "cpu"
LEAST = 0.2
"""Seconds for which something is repeated at least."""


@dataclass(frozen=True)
class Work:
    """What is timed. A size is one number, from which `shape` makes the shape of the tensor that `run` takes."""

    name: str
    sizes: tuple[int, ...]
    shape: Callable[[int], tuple[int, ...]]
    run: Callable[[Tensor], Tensor]


WORKS = (
    Work("matrix product", (32, 128, 512, 2048), lambda n: (n, n), lambda x: x @ x),
    Work("sum", (2**4, 2**10, 2**16, 2**22), lambda n: (n,), lambda x: x.sum()),
)


@dataclass(frozen=True)
class Timing:
    """The median of the seconds that one run takes."""

    work: Work
    size: int
    device: str
    seconds: float


def bench(
    names: Sequence[str] | None = None,
    works: Iterable[Work] = WORKS,
    least: float = LEAST,
    on_timing: Callable[[Timing], None] = lambda timing: None,
) -> list[Timing]:
    """Return how long each work takes at each size on each device, on all devices if none is named.

    `on_timing` is called after each of them, to show progress.

    Raises:
        ValueError: there is no such device.
    """
    found = [str(resolve_device(name)) for name in names or [device.name for device in devices()]]
    timings = []
    for work in works:
        for size in work.sizes:
            for device in found:
                timings.append(Timing(work, size, device, measure(work, size, device, least)))
                on_timing(timings[-1])
    return timings


def measure(work: Work, size: int, device: str, least: float = LEAST) -> float:
    """Return the median of the seconds that one run takes on a device, waiting for it to be done."""
    place = torch.device(device)
    # The timer waits for the accelerator that is the current one.
    current: Any = torch.accelerator.device_index(place.index) if place.index is not None else nullcontext()
    with current:
        x = torch.ones(work.shape(size), device=place)
        timer = Timer("run(x)", globals={"run": work.run, "x": x}, num_threads=torch.get_num_threads())
        return timer.blocked_autorange(min_run_time=least).median


def wins_from(timings: Iterable[Timing], work: Work, device: str, other: str = CPU) -> int | None:
    """Return the size from which on a device was always faster than another one, or None if it was slower in the end.

    Raises:
        ValueError: one of the two was not timed.
    """
    timings = list(timings)
    mine, theirs = (
        {t.size: t.seconds for t in timings if (t.work, t.device) == (work, d)} for d in (device, other)
    )
    if not mine.keys() & theirs.keys():
        raise ValueError(f"{device} and {other} were not timed at the same sizes")
    return first_win(mine, theirs)


def first_win(mine: Mapping[int, float], theirs: Mapping[int, float]) -> int | None:
    """Return the size from which on mine took always less than theirs, or None if it took more in the end."""
    first = None
    for size in sorted(mine.keys() & theirs.keys(), reverse=True):
        if mine[size] >= theirs[size]:
            break
        first = size
    return first
