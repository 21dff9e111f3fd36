"""The package of another revision beside that of today, with the benchmarks of today: a ratio for each row."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measured import Row
from benchmarks.run import ROOT, Outcome

PACKAGES = ("spec_schema", "compiler", "runtime")
TOLERANCE = 1.15
"""What the figure of a row may be by that of the base: what is more is a regression, what is less may be noise."""


class NoSuchRevisionError(ValueError):
    """The repository has no such revision, or the revision has no such packages."""


@contextmanager
def tree_of(revision: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield a folder with the packages of a revision, and all else as it is today.

    Raises:
        NoSuchRevisionError: there is no such revision.
    """
    with TemporaryDirectory(prefix="blockprint-base-") as name:
        folder = Path(name)
        archive = folder / "packages.tar"
        command = ["git", "archive", f"--output={archive}", "--end-of-options", revision, *PACKAGES]
        made = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if made.returncode:
            raise NoSuchRevisionError((made.stderr.strip().splitlines() or ["git archive failed"])[-1])
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
        for path in root.iterdir():
            if path.name not in (*PACKAGES, ".git"):
                (folder / path.name).symlink_to(path)
        yield folder


@dataclass(frozen=True)
class Compared:
    """A row of today, and the same of the base, or None with the reason why there is none."""

    name: str
    now: Row
    then: Row | None
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as much as the base it is; for what should be large, how many times less."""
        if self.then is None or not (self.now.samples and self.then.samples):
            return None
        ratio = self.now.figure / self.then.figure
        return 1 / ratio if self.now.at_least else ratio


def compared(now: Outcome, then: Outcome) -> Iterator[Compared]:
    """Yield each row of a benchmark with that of the base."""
    others = {(row.number, row.work): row for row in then.rows}
    for row in now.rows:
        other = others.get((row.number, row.work))
        yield Compared(now.name, row, other, "" if other else then.failure or "it has no such row")


def pooled(first: Outcome, second: Outcome) -> Outcome:
    """Return two runs of one benchmark as one, each row with the samples of both."""
    more = {(row.number, row.work): row.samples for row in second.rows}
    rows = [replace(row, samples=row.samples + more.get((row.number, row.work), ())) for row in first.rows]
    return Outcome(first.name, tuple(rows), first.failure or second.failure, first.stopped or second.stopped)


def regressions(found: Sequence[Compared], tolerance: float) -> list[Compared]:
    """Return the rows that are over the tolerance."""
    return [each for each in found if each.ratio is not None and each.ratio > tolerance]
