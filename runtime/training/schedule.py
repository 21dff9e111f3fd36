"""Schedules made from their checked calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from compiler.infer.reasons import reason
from compiler.training.calls import INFERRED_LENGTHS, Making
from spec_schema.diagnostics import refuse

PER_STEP = frozenset({"OneCycleLR", "CyclicLR"})
"""Schedules that torch documents to be stepped after each batch."""
LENGTHS = dict(INFERRED_LENGTHS)

Unit = Literal["step", "epoch"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A schedule of torch, and how often it goes on."""

    scheduler: LRScheduler
    every: Unit

    def state(self) -> dict[str, Any]:
        """Return the state as plain values and tensors."""
        plain: dict[str, Any] = _plain(self.scheduler.state_dict())
        return plain


def make_schedule(
    making: Making | None, optimizer: Optimizer, epochs: int | None, steps: int, warmup: int | None = None
) -> Schedule | None:
    """Return a schedule that goes on by epochs if the training is counted in them or it follows results, else by steps.

    In `warmup` steps the rate rises to its own, and what goes on by steps follows.

    Raises:
        SpecError: a value is out of its range.
    """
    if warmup is not None:
        return Schedule(_warmed_up(making, optimizer, steps, warmup), "step")
    if making is None:
        return None
    follows_results = (
        making.name == ReduceLROnPlateau.__name__
    )  # of which there are some at the end of an epoch
    by_step = (epochs is None and not follows_results) or _names(making) & PER_STEP
    length = steps if epochs is None or by_step else epochs
    return Schedule(_scheduler(making, optimizer, length), "step" if by_step else "epoch")


def _warmed_up(making: Making | None, optimizer: Optimizer, steps: int, warmup: int) -> LRScheduler:
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    if making is None:
        return rise
    rest = _scheduler(making, optimizer, max(1, steps - warmup))
    with located(making):
        return SequentialLR(optimizer, [rise, rest], [warmup])


def follows_length(making: Making | None) -> bool:
    """Return whether a schedule is as long as the training because the spec gives no length."""
    if making is None:
        return False
    own = LENGTHS.get(making.name)
    return (own is not None and own not in making.arguments) or any(map(follows_length, _inner(making)))


def _scheduler(making: Making, optimizer: Optimizer, length: int) -> Any:
    arguments = dict(making.arguments)
    inferred = LENGTHS.get(making.name)
    if inferred is not None and not {inferred, "epochs"} & arguments.keys():
        arguments[inferred] = length
    for name, value in arguments.items():
        if _is_nested(value):
            ends = _lengths(making, len(value), length)
            arguments[name] = [_scheduler(m, optimizer, n) for m, n in zip(value, ends, strict=True)]
    with located(making):
        return making.target(**arguments, optimizer=optimizer)


def _lengths(making: Making, count: int, length: int) -> list[int]:
    """Return how long each of several schedules runs: one after the other in a `SequentialLR`, else throughout."""
    milestones = making.arguments.get("milestones")
    if making.target is not SequentialLR or not isinstance(milestones, list) or len(milestones) != count - 1:
        return [length] * count
    bounds = [0, *milestones, length]
    return [max(1, end - start) for start, end in pairwise(bounds)]


def _inner(making: Making) -> list[Making]:
    return [inner for value in making.arguments.values() if _is_nested(value) for inner in value]


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Making) for item in value)


def _names(making: Making) -> set[str]:
    return {making.name}.union(*map(_names, _inner(making)))


@contextmanager
def located(making: Making) -> Iterator[None]:
    """Locate what a class of torch says of its arguments."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        message = f"`{making.name}` cannot be made: {reason(error)}"
        raise refuse("bad-argument", message, making.span) from None


def _plain(value: Any) -> Any:
    """Return a state with plain dicts and lists: schedules use counters and other collections."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return list(map(_plain, value)) if isinstance(value, list | deque | set) else value
