"""The benchmarks there are, and what comes of running one in a process of its own."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO

from benchmarks.measured import Row

ROOT = Path(__file__).parents[1]
OFF = {"BLOCKPRINT_CACHE": "off", "PYTHONDONTWRITEBYTECODE": ""}
"""Variables of all benchmarks: nothing is known from an earlier call, but the bytecode of modules."""
SAID = 20
"""Lines that are kept of what a benchmark says: the end of a traceback."""


@dataclass(frozen=True)
class Outcome:
    """What came of one benchmark. With a failure, its rows are those that were measured before it."""

    name: str
    rows: tuple[Row, ...]
    failure: str = ""
    stopped: bool = False
    """Whether it failed only because its time was over."""
    said: tuple[str, ...] = ()
    """The last lines that it wrote to standard error before it failed."""


def names(root: Path = ROOT) -> list[str]:
    """Return the benchmarks of a project: the modules of its folder `benchmarks` that define `rows`."""
    return [path.stem for path in sorted((root / "benchmarks").glob("*.py")) if _has_rows(path)]


def _has_rows(path: Path) -> bool:
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(each, ast.FunctionDef) and each.name == "rows" for each in statements)


def run(
    name: str,
    quick: bool,
    longest: float,
    on_row: Callable[[Row], None] = lambda row: None,
    root: Path = ROOT,
) -> Outcome:
    """Run one benchmark, for so many seconds at most, with the packages that stand in the folder `root`."""
    if longest <= 0:
        return Outcome(name, (), "no time was left for it", stopped=True)
    command = [sys.executable, "-m", "benchmarks.alone", name, *(["--quick"] if quick else [])]
    rows: list[Row] = []
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        with _started(command, root, said, longest) as (process, over):
            assert process.stdout is not None
            for line in process.stdout:
                rows.append(read(line))
                on_row(rows[-1])
            status = process.wait()
        said.seek(0)
        last = list(deque((line.rstrip() for line in said if line.strip()), SAID))
    if over:
        return Outcome(name, tuple(rows), f"it was not done after {longest:.0f} s", stopped=True)
    if status:
        return Outcome(name, tuple(rows), _reason(status, last), said=tuple(last))
    return Outcome(name, tuple(rows))


@contextmanager
def _started(
    command: list[str], root: Path, said: IO[str], longest: float
) -> Iterator[tuple[subprocess.Popen[str], list[bool]]]:
    """Start a process, and end it with all that it started; yield a list that is filled when its time is over."""
    over: list[bool] = []
    with subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **OFF, "PYTHONPATH": os.pathsep.join([str(root), *_path()])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        start_new_session=True,
    ) as process:

        def end() -> None:
            over.append(True)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = Timer(longest, end)
        timer.start()
        try:
            yield process, over
        finally:
            timer.cancel()
            if process.poll() is None:
                end()


def _path() -> list[str]:
    """Return the folders that Python was told to look into."""
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]


def read(line: str) -> Row:
    """Return the row that a line of JSON is."""
    entries = json.loads(line)
    return Row(**{**entries, "samples": tuple(entries["samples"])})


def _reason(status: int, said: list[str]) -> str:
    if status < 0:
        return f"its process was ended by {signal.Signals(-status).name}"
    return said[-1] if said else f"its process ended with status {status}"
