"""How long compiling may take: one clock for the whole pipeline, which says what took the time.

It runs while something is compiled: what is asked of a compiled spec later is not timed. The stages look at it
wherever their work grows with the spec.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span

CODE = "too-slow"
RESOLUTION = 0.001
SHOWN = 0.1
"""Seconds: a stage that took less explains nothing."""


class _Seconds:
    """Seconds of CPU, asked of the system once in a millisecond: that takes as long as a small step of a stage."""

    def __init__(self) -> None:
        self.value = self.next = 0.0

    def __call__(self) -> float:
        now = time.perf_counter()
        if now >= self.next:
            self.value, self.next = time.process_time(), now + RESOLUTION
        return self.value


@dataclass(eq=False)
class Clock:
    """Measures the stages of one compilation, in seconds of CPU. What happens between them is not counted."""

    seconds: float
    """What all stages together may take."""
    read: Callable[[], float] = field(default_factory=_Seconds)
    spent: dict[str, float] = field(default_factory=dict)
    stage: str | None = None
    """What is under way."""
    since: float = 0.0
    over: bool = field(init=False)
    """Whether the stages had taken too long at the last look: nothing may take no time."""

    def __post_init__(self) -> None:
        self.over = self.seconds <= 0

    @contextmanager
    def running(self) -> Iterator[Clock]:
        """Let the stages look at this clock for the time of a `with`."""
        token = _RUNNING.set(self)
        try:
            yield self
        finally:
            _RUNNING.reset(token)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Count what is done inside a `with` for a stage."""
        around = self._change(stage)
        try:
            yield
        finally:
            self._change(around)

    def _change(self, stage: str | None) -> str | None:
        """Book the time until now; return the stage that it was booked for."""
        before = self.stage
        self._book(self.read())
        self.stage = stage
        return before

    def _book(self, now: float) -> None:
        if self.stage is not None:
            self.spent[self.stage] = self.spent.get(self.stage, 0.0) + now - self.since
        self.since = now

    def is_over(self) -> bool:
        """Return whether the stages have taken too long."""
        now = self.read()
        if now != self.since:
            self._book(now)
            self.over = sum(self.spent.values()) > self.seconds
        return self.over

    def too_slow(self, place: Span, notes: tuple[str, ...]) -> SpecError:
        """Return the refusal of what is under way."""
        took = [f"{stage} took {spent:.1f} s" for stage, spent in self.spent.items() if spent >= SHOWN]
        message = f"compiling takes more than {self.seconds:g} seconds"
        return refuse(CODE, message, place, notes=(*notes, ", ".join(took)) if took else notes)


_RUNNING: ContextVar[Clock | None] = ContextVar("_RUNNING", default=None)


@contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Time what is compiled inside a `with`, as part of what is timed already if there is such.

    Raises:
        SpecError: as it was raised inside; that time is over is reported once.
    """
    with (_RUNNING.get() or Clock(seconds)).running():
        try:
            yield
        except SpecError as error:
            late = [found for found in error.diagnostics if found.code == CODE]
            if len(late) < 2:
                raise
            others = [found for found in error.diagnostics if found.code != CODE]
            raise SpecError([*others, late[0]]) from None


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count what is done inside a `with`, or by a function that this decorates, for a stage."""
    clock = _RUNNING.get()
    if clock is None:
        yield
        return
    with clock.measure(name):
        yield


def check_time(place: Span | Callable[[], Span], notes: Callable[[], tuple[str, ...]] = tuple) -> None:
    """Refuse the spec if compiling it has taken too long. `place` and `notes` say what is under way.

    Raises:
        SpecError: the time is over.
    """
    clock = _RUNNING.get()
    if clock is not None and clock.is_over():
        raise clock.too_slow(place if isinstance(place, Span) else place(), notes())
