"""mypy over emitted files; what it knows of torch is kept, and the next test need not wait for it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

CACHE = Path(__file__).parents[1] / ".mypy_cache" / "emitted"


def refusal(folder: Path) -> str:
    """Return what mypy says of the files in a folder, in its strict mode; nothing if it accepts them."""
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={CACHE}", "."]
    with FileLock(CACHE / "lock"):  # of two that write to it, each would find half of what the other wrote
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else found.stdout + found.stderr
