"""How much memory a piece of work takes: the most that the process held meanwhile, above what it held before."""

from __future__ import annotations

import resource
from pathlib import Path

MARK = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


class Peak:
    """Measures from its making on. Linux forgets an earlier peak; elsewhere only what goes beyond it is seen."""

    def __init__(self) -> None:
        if MARK.exists():
            MARK.write_text("5")
        self.before = _peak()

    def megabytes(self) -> int:
        """Return how far the process went above what it held."""
        return (_peak() - self.before) // 1024


def _peak() -> int:
    """Return the largest size that the process had, in kilobytes."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
