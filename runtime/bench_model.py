"""How fast a model is: one forward on random inputs, on each device, at each size of its batch; beside a twin or alone.

What users wait for is measured: time on the wall, until the device is done. A model and its twin are called in turns;
on the CPU they are compared by CPU time, which other programs do less to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from runtime.bench import CPU, first_win
from runtime.cost import Cost
from runtime.samples import in_order, sample_inputs
from spec_schema.shown import ShownError

Call = Callable[[], object]
Clock = Callable[[], tuple[float, float]]
"""Tells the time on the wall, and that by which a model is compared with its twin."""
BLOCK = 0.002
"""Seconds that calls take together at least before the clock is read again."""
ROUNDS = 5
"""How often the clock is read at least."""
BATCH = "batch"


@dataclass(frozen=True)
class Measured:
    """What one forward takes on a device."""

    device: str
    batch: int | None
    """None where the spec has no open dimension for it."""
    times: tuple[float, ...]
    """The seconds of a call, round by round."""
    bytes: int
    """Of tensors: those of the model, its inputs, and the most that a call holds at once."""
    twin_times: tuple[float, ...] = ()
    """Those of the twin in the same rounds."""
    ratios: tuple[float, ...] = ()
    """What the model takes by what the twin takes, round by round."""

    @property
    def seconds(self) -> float:
        return median(self.times)

    @property
    def throughput(self) -> float:
        """Items in a second; calls where there is no batch."""
        return (self.batch or 1) / self.seconds


def quartiles(figures: Sequence[float]) -> tuple[float, float]:
    """Return what a quarter of the figures is below, and what a quarter is above."""
    first, _, third = quantiles(figures, n=4, method="inclusive") if len(figures) > 1 else [figures[0]] * 3
    return first, third


class ForwardError(ShownError):
    """A forward failed; its cause says how."""

    def __init__(self, of_twin: bool, batch: int | None, device: str) -> None:
        super().__init__(f"on {device}" + ("" if batch is None else f", at batch {batch:,}"))
        self.of_twin = of_twin


def batch_dimension(artifact: Artifact) -> str | None:
    """Return the open dimension that counts items: `batch`, or one that comes first in an input; None without one."""
    sizes = artifact.program.sizes
    first = [str(each.type.dimensions[0]) for each in artifact.program.inputs if each.type.dimensions]
    return next((name for name in (BATCH, *first) if name in sizes), None)


def bench_model(
    artifact: Artifact,
    models: Mapping[str, nn.Module],
    batches: Sequence[int],
    twins: Mapping[str, nn.Module] | None = None,
    seconds: float = 1.0,
    seed: int = 0,
) -> Iterator[Measured]:
    """Yield what a forward takes for each batch, and for each device the model on it.

    Raises:
        ForwardError: a model fails on random inputs.
        SpecError: a batch is larger than what a tensor may be.
    """
    name = batch_dimension(artifact)
    for batch in batches if name is not None else [None]:
        sizes = {} if name is None or batch is None else {name: batch}
        for device, model in models.items():
            inputs = inputs_on(device, artifact, model, seed, sizes)
            both = [model] if twins is None else [model, twins[device]]
            for each in both:
                tried(each, inputs, device, batch, of_twin=each is not model)
            calls = [partial(forward, each, inputs) for each in both]
            rounds = list(in_turns(calls, seconds, clock_of(device)))
            times = [tuple(each[at][0] for each in rounds) for at in range(len(both))]
            ratios = (
                [tuple(ours / max(theirs, 1e-9) for (_, ours), (_, theirs) in rounds)]
                if twins is not None
                else []
            )
            yield Measured(device, batch, times[0], memory(model, inputs, device), *times[1:], *ratios)


def inputs_on(
    device: str, artifact: Artifact, model: nn.Module, seed: int, sizes: Mapping[str, int]
) -> list[Tensor]:
    """Return random inputs in the order of the model's `forward`."""
    made = sample_inputs(artifact, model, seed, sizes)
    return [each.to(device) for each in in_order(artifact, made)]


def forward(model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Return what a model makes of inputs, without gradients."""
    with torch.no_grad():
        return model(*inputs)


def tried(
    model: nn.Module, inputs: Sequence[Tensor], device: str, batch: int | None = None, of_twin: bool = False
) -> Any:
    """Return what a model, evaluating, makes of inputs. ForwardError if it fails."""
    try:
        return forward(model.eval(), inputs)
    except MemoryError:
        raise
    except Exception as error:
        raise ForwardError(of_twin, batch, device) from error


def clock_of(device: str) -> Clock:
    """Return a clock that waits until the device is done."""
    if device == CPU:
        return lambda: (time.perf_counter(), time.process_time())

    def clock() -> tuple[float, float]:
        torch.accelerator.synchronize(torch.device(device))
        now = time.perf_counter()
        return now, now

    return clock


def in_turns(
    calls: Sequence[Call], seconds: float, clock: Clock
) -> Iterator[tuple[tuple[float, float], ...]]:
    """Yield the seconds of each call by both clocks, round by round; every second round goes backwards."""
    numbers = [_enough(call, clock) for call in calls]
    end, rounds = clock()[0] + seconds * len(calls), 0
    while rounds < ROUNDS or clock()[0] < end:
        order = range(len(calls))[:: -1 if rounds % 2 else 1]
        taken = {at: _seconds(calls[at], numbers[at], clock) for at in order}
        yield tuple(taken[at] for at in range(len(calls)))
        rounds += 1


def _enough(call: Call, clock: Clock) -> int:
    """Return how many calls fill a block; they warm up."""
    number = 1
    call()
    while (taken := _seconds(call, number, clock)[0]) * number < BLOCK:
        number = max(2 * number, math.ceil(BLOCK / max(taken, 1e-9)))
    return number


def _seconds(call: Call, number: int, clock: Clock) -> tuple[float, float]:
    wall, used = clock()
    for _ in range(number):
        call()
    now, after = clock()
    return (now - wall) / number, (after - used) / number


def memory(model: nn.Module, inputs: Sequence[Tensor], device: str) -> int:
    """Return the bytes of a model and its inputs, and the most that a forward holds besides."""
    tensors = [*model.parameters(), *model.buffers(), *inputs]
    storages = {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values()) + _held(model, inputs, device)


def _held(model: nn.Module, inputs: Sequence[Tensor], device: str) -> int:
    """Return the most bytes that a forward holds: as the device counts them if it does, else those of its tensors."""
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
        before = torch.cuda.memory_allocated(place)
        forward(model, inputs)
        return int(torch.cuda.max_memory_allocated(place)) - int(before)
    with Cost(swept=1.0) as cost:
        forward(model, inputs)
    return int(cost.bytes)


def wins_from(measured: Iterable[Measured], device: str) -> int | None:
    """Return the batch from which on a device was always faster than the CPU, or None."""
    times = {(each.device, each.batch): each.seconds for each in measured if each.batch is not None}
    mine, cpu = (
        {batch: seconds for (where, batch), seconds in times.items() if where == name}
        for name in (device, CPU)
    )
    return first_win(mine, cpu)
