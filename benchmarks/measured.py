"""What a benchmark measures with, and the form in which it says so.

A benchmark is a module of this folder with a function `rows(quick: bool) -> Iterator[Row]`. `python -m benchmarks`
runs each of them in a process of its own and makes one table. Time is CPU time of the whole process: it means the same
on a busy computer. What is compared is measured in turns, so that both meet the same neighbours; each round gives one
ratio.
"""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

Call = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line of the table; several may bear one number. Without samples it was not measured, as `note` says."""

    number: int
    """Its place in the table: 1 to 13, or 0 for what has no limit (start, memory, imports) and stands after it."""
    work: str
    """What is measured, and by what it is divided: `GPT-2, spec text to meta ÷ by hand`."""
    samples: tuple[float, ...]
    """The ratio, or the figure, of each round: shown are their median and their spread."""
    limit: float | None = None
    """What the median may be at most."""
    unit: str = "×"
    """Of the samples: `×` for ratios, `s`, `MiB`, `modules`, or `slope`."""
    note: str = ""
    """A sentence below the table: the obstacle where the limit is not reached; counts; a list of imports."""
    at_least: bool = False
    """The limit is the least that the median may be."""

    @property
    def figure(self) -> float:
        return median(self.samples)

    @property
    def reached(self) -> bool | None:
        """Whether the limit is kept; None if there is none, or if nothing was measured."""
        if self.limit is None or not self.samples:
            return None
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


def seconds(call: Call, number: int = 1, clock: Clock = time.process_time) -> float:
    """Return the time of one of so many calls. As with `timeit`, the garbage collector waits: in which of the calls
    it looks at all objects of the process would be chance."""
    gc.collect()
    gc.disable()
    try:
        start = clock()
        for _ in range(number):
            call()
        return (clock() - start) / number
    finally:
        gc.enable()


def enough(call: Call, least: float = 0.02, clock: Clock = time.process_time) -> int:
    """Return how many calls take so many seconds together; these calls warm up."""
    number = 1
    call()
    while (taken := seconds(call, number, clock)) * number < least:
        number = max(2 * number, math.ceil(least / max(taken, 1e-9)))
    return number


def times(calls: Sequence[Call], rounds: int, clock: Clock = time.process_time) -> list[tuple[float, ...]]:
    """Return the seconds of each call, round by round, in turns; every second round goes backwards."""
    numbers = [enough(call, clock=clock) for call in calls]
    taken = []
    for each in range(rounds):
        places = range(len(calls))[:: -1 if each % 2 else 1]
        of = {place: seconds(calls[place], numbers[place], clock) for place in places}
        taken.append(tuple(of[place] for place in range(len(calls))))
    return taken


def in_turns(ours: Call, theirs: Call, rounds: int, clock: Clock = time.process_time) -> tuple[float, ...]:
    """Return the ratio of each round."""
    return tuple(first / second for first, second in times([ours, theirs], rounds, clock))


@dataclass(frozen=True)
class Spent:
    """What a process used, with those that it waited for."""

    seconds: float
    """CPU time."""
    peak: int
    """Bytes of memory, when they were most."""


# A process begins with the peak of the one that started it, so that a small one has to.
LAUNCH = """
import json, os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
said = child.stderr.read()
_, status, used = os.wait4(child.pid, 0)
sys.stderr.buffer.write(said)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)]))
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


def process(*arguments: str) -> Spent:
    """Run this Python with arguments, in a process of its own.

    Raises:
        RuntimeError: it failed; with the last line that it said.
    """
    command = [sys.executable, "-I", "-S", "-c", LAUNCH, sys.executable, *arguments]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        raise RuntimeError(f"python {' '.join(arguments)}: {said[-1]}")
    return Spent(*json.loads(ended.stdout))


def said(*arguments: str) -> str:
    """Return what this Python says on standard output, with arguments, in a process of its own."""
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout


def processes_in_turns(ours: Sequence[str], theirs: Sequence[str], rounds: int) -> list[tuple[Spent, Spent]]:
    """Return what both used, round by round, after one of each that fills the caches of the disk."""
    return [(process(*ours), process(*theirs)) for _ in range(rounds + 1)][1:]


def slope(sizes: Sequence[float], figures: Sequence[float]) -> float:
    """Return how figures grow with sizes: 1 if both double together, 2 if figures grow with the square."""
    return linear_regression([math.log(each) for each in sizes], [math.log(each) for each in figures]).slope


def slopes(work: Callable[[int], Call], sizes: Sequence[int], rounds: int) -> tuple[float, ...]:
    """Return the slope of each round; `work` makes, for a size, the call that is measured."""
    return tuple(slope(sizes, each) for each in times([work(size) for size in sizes], rounds))
