"""Exports every entry of the zoo to ONNX, and renews the table in docs/export.md: `make export-survey`.

What came of each stands in out/export, and is not tried again: a survey that was stopped goes on.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import runtime
from compiler import SpecError
from tests.zoo.parity import ROOT, Entry, draw
from tests.zoo.zoo_table import TABLES

DOCUMENT = ROOT / "docs/export.md"
RESULTS = ROOT / "out/export"
HEAD = """\
| spec | open | compared at | largest difference |
|---|---|---|---|
"""
FOOT = "\nMade by `make export-survey`"
CLOSED = {"swin": ("height", "width")}
"""Dimensions that are known not to stay open, of models for which it takes torch minutes to say so."""


@dataclass(frozen=True)
class Result:
    """What came of one entry: the open dimensions, the sizes, and the difference, or why there is none."""

    open: tuple[str, ...]
    sizes: tuple[str, ...]
    difference: float | None
    reason: str = ""


def entries() -> list[Entry]:
    """Return all entries of the zoo."""
    return [entry for table in TABLES.values() for entry in table]


def exported(entry: Entry, fixed: dict[str, int] | None = None) -> Result:
    """Export the model of an entry, with random values. What cannot stay open has its example size."""
    artifact = entry.artifact()
    known = artifact.program.sizes
    fixed = {name: known[name] for name in CLOSED.get(entry.spec, ())} if fixed is None else fixed
    names = tuple(name for name in known if name not in fixed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = runtime.export_onnx(draw(entry.built()).eval(), Path(folder, "m.onnx"), fixed)
        except SpecError as error:
            [first] = error.diagnostics
            more = {name: int(size) for name, size in re.findall(r"--fix (\w+)=(\d+)", first.help or "")}
            if more and not fixed:
                return exported(entry, more)
            return Result(names, (), None, "; ".join([first.message, *first.notes]))
    return Result(names, found.sizes, found.difference)


def row(entry: Entry, result: Result) -> str:
    """Return the row of an entry."""
    told = "<br>".join(result.sizes[:2]) if result.sizes else result.reason.replace("|", "\\|")
    closed = [name for name in entry.artifact().program.sizes if name not in result.open]
    open = f"{', '.join(result.open)}{'; not ' if closed else ''}{', '.join(closed)}"
    apart = "—" if result.difference is None else f"{result.difference:.1g}"
    return f"| {entry} | {open} | {told} | {apart} |\n"


def recorded() -> dict[str, list[str]]:
    """Return the rows of docs/export.md, by the name of their entry."""
    text = DOCUMENT.read_text().partition(HEAD)[2].partition(FOOT)[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line]
    return {cells[0]: cells for cells in rows}


def _rows() -> Iterator[str]:
    RESULTS.mkdir(parents=True, exist_ok=True)
    for entry in entries():
        kept = RESULTS / f"{entry}.json"
        if not kept.exists():
            kept.write_text(json.dumps(asdict(exported(entry))))
        made = row(entry, Result(**json.loads(kept.read_text())))
        sys.stdout.write(made)
        sys.stdout.flush()
        yield made


if __name__ == "__main__":
    before, _, after = DOCUMENT.read_text().partition(HEAD)
    rows = "".join(_rows())
    DOCUMENT.write_text(before + HEAD + rows + FOOT + after.partition(FOOT)[2])
