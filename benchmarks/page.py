"""The page of all benchmarks: the computer, the versions, a table of what has limits, and one of what has none."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles

import psutil

from benchmarks.measured import Row
from benchmarks.run import Outcome

PACKAGES = ("blockprint", "torch", "numpy", "pydantic", "safetensors", "pytorch-lightning", "transformers")
LIMITED = ["row", "what", "figure", "spread", "reach", "reached", "command"]
PLAIN = ["what", "figure", "spread", "command"]
FEW = 5
"""Rounds of which no quartiles are told."""
HEAD = """# Benchmarks

`make bench` writes this page anew. Each row is measured in a process of its own, in CPU time where nothing else is
said, and in turns with what it is compared with. What is ours stands before `÷`: at 1 both are as fast, at less ours is
faster. A figure is the median of its rounds; beside it are the quartiles, or of less than five rounds the least and the
greatest. `python -m benchmarks NAME` prints the rows of one benchmark alone; what they are is in `benchmarks/NAME.py`.
"""


def page(outcomes: Sequence[Outcome], minutes: float) -> str:
    """Return the page as Markdown."""
    rows = sorted(
        ((row, each.name) for each in outcomes for row in each.rows), key=lambda pair: pair[0].number or 99
    )
    measured = [(row, name) for row, name in rows if row.number]
    plain = [(row, name) for row, name in rows if not row.number]
    parts = [
        HEAD,
        _table(["measured on", ""], [*computer(), ("time", f"{minutes:.0f} minutes for all")]),
        "## What has a limit\n",
        _table(LIMITED, [_limited(row, name) for row, name in measured] + list(_failures(outcomes))),
        *_remarks("Not reached", [row for row, _ in measured if row.reached is False]),
        *_remarks("Not measured", [row for row, _ in rows if not row.samples]),
        *_remarks(
            "In detail", [row for row, _ in measured if row.note and row.samples and row.reached is not False]
        ),
        *(["## What has none\n", _table(PLAIN, [_plain(row, name) for row, name in plain])] if plain else []),
        *_remarks("In detail", [row for row, _ in plain if row.note and row.samples]),
    ]
    return "\n".join(parts)


def computer() -> Iterator[tuple[str, str]]:
    """Yield what the figures depend on."""
    yield "processor", f"{_processor()}, {_cores()} cores"
    yield "memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    yield "system", f"{platform.system()}, {platform.machine()}"
    yield "versions", ", ".join([f"Python {platform.python_version()}", *_versions()])


def _cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or "unknown"


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        yield f"{name} {version(name)}"


def _limited(row: Row, name: str) -> tuple[str, ...]:
    reached = {True: "yes", False: "**no**", None: "" if row.samples else "not measured"}[row.reached]
    return str(row.number), row.work, *figures(row), limit(row), reached, f"`python -m benchmarks {name}`"


def _plain(row: Row, name: str) -> tuple[str, ...]:
    return row.work, *figures(row), f"`python -m benchmarks {name}`"


def _failures(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, ...]]:
    for each in outcomes:
        if each.failure:
            what = f"`{each.name}` failed: {each.failure}"
            yield "–", what, "–", "–", "", "**failed**", f"`python -m benchmarks {each.name}`"


def figures(row: Row) -> tuple[str, str]:
    """Return the median with its unit, and the quartiles, or of few samples the least and the greatest."""
    if not row.samples:
        return "–", "–"
    few = len(row.samples) < FEW
    first, _, third = (
        (min(row.samples), 0, max(row.samples)) if few else quantiles(row.samples, method="inclusive")
    )
    spread = f"{number(first)}–{number(third)}" if len(row.samples) > 1 else "once"
    unit = "" if row.unit in ("×", "slope") else f" {row.unit}"
    return f"{number(row.figure)}{unit}", spread


def limit(row: Row) -> str:
    """Return what the figure must be at most, or at least."""
    return "" if row.limit is None else f"{'≥' if row.at_least else '≤'} {row.limit:g}"


def number(value: float) -> str:
    """Return a number with three digits, or whole if it is large."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _remarks(title: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a sentence for each row, or for several that have the same, below a heading; nothing without rows."""
    works: dict[str, list[str]] = {}
    for row in rows:
        works.setdefault(row.note or "the reason is not known yet", []).append(row.work)
    if works:
        yield f"### {title}\n"
        yield "".join(f"* {'; '.join(each)}: {note}\n" for note, each in works.items())
