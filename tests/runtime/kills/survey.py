"""Makes docs/interrupted.md: `python -m tests.runtime.kills.survey [COUNT]`, or `make kills`.

A training is killed at as many random moments, and at each moment at which it asks the system to write; and the disk
is full from each such moment on. Each time what is there is examined, and the training gone on with.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.runtime.kills.harm import ROOT, Trainings, one_line

DOCUMENT = ROOT / "docs" / "interrupted.md"
TITLES = (
    "last checkpoint",
    "killed at a random time",
    "killed as it writes",
    "the disk is full as it writes",
)
HEAD = f"| {' | '.join(TITLES)} |\n|---|---|---|---|\n"
COUNT = 50


def random_times(trainings: Trainings, count: int) -> Iterator[str]:
    """Kill trainings at random times, every second one twice; yield what was there each time."""
    draw = random.Random(0)
    for number in range(count):
        trainings.begin()
        for _ in range(1 + number % 2):
            trainings.train(delay=draw.uniform(0, trainings.whole["seconds"]))
            found = trainings.examine()
        trainings.finish()
        yield found


def every_moment(trainings: Trainings, harm: str) -> Iterator[str]:
    """Do harm at each moment at which a training asks the system to write; yield what was there each time."""
    for at in chosen(trainings.whole["moments"]):
        trainings.begin()
        said: dict[str, Any] = trainings.train(harm=harm, at=at)
        assert said["end"] == "killed" if harm == "kill" else one_line(said["end"]), said
        yield trainings.examine()
        trainings.finish()


def chosen(moments: list[str]) -> Iterator[int]:
    """Yield the numbers of moments; of writes in a row, those of the first, of the last, and of one between."""
    start = 0
    for name, run in groupby(moments):
        count = len(list(run))
        inside = {0, count // 2, count - 1} if name in ("write", "append") else range(count)
        yield from (start + each for each in sorted(inside))
        start += count


def table(columns: list[Counter[str]]) -> str:
    """Return a row for each state that was found, with how often it was."""
    states = sorted(
        {state for column in columns for state in column}, key=lambda each: each[-1:] * (each[:2] != "no")
    )
    rows = [[state, *(str(column[state]) for column in columns)] for state in states]
    rows.append(["all", *(str(column.total()) for column in columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Do the survey, and write its table into the document."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(Path(folder))
        try:
            ways = (
                random_times(trainings, count),
                every_moment(trainings, "kill"),
                every_moment(trainings, "full"),
            )
            found = [Counter(way) for way in ways]
        finally:
            trainings.close()
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text[: text.index(HEAD) + len(HEAD)] + table(found))


if __name__ == "__main__":
    main()
