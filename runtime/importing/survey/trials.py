"""Many models, each tried in a process of its own, with what came of it in a file that grows line by line.

A survey that was stopped goes on where it was: what the file has is not tried again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Outcome = dict[str, Any]
"""What came of one model: `source`, `status`, and what else is known."""

_LONGEST = 300
_WAITING = 10
"""How many times longer a trial may take that the machine has little time for, or that waits for what never comes."""


@dataclass(frozen=True)
class Limits:
    """What a trial of one model may take."""

    seconds: int = 300
    """Of the processor's time, so that it is no matter what else the machine does."""
    gigabytes: float = 12
    parameters: int = 100_000_000
    """Of the largest model whose values are made and compared."""


def outcomes(results: Path) -> list[Outcome]:
    """Return what a file of results has; a line that was being written when all ended is left out."""
    if not results.is_file():
        return []
    lines = results.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines if line.strip()]


def survey(
    sources: Sequence[str],
    results: Path,
    limits: Limits,
    jobs: int = 1,
    on_outcome: Callable[[Outcome], None] = lambda found: None,
) -> list[Outcome]:
    """Try those of the sources that the results do not have yet, and return what came of all of them."""
    results.parent.mkdir(parents=True, exist_ok=True)
    _cut_off_half_a_line(results)
    known = {each["source"]: each for each in outcomes(results)}
    left = [each for each in sources if each not in known]
    with ThreadPoolExecutor(jobs) as pool, results.open("a") as file:
        running = [pool.submit(tried, each, limits, jobs) for each in left]
        try:
            for each in as_completed(running):
                found = each.result()
                known[found["source"]] = found
                file.write(f"{json.dumps(found)}\n")
                file.flush()
                on_outcome(found)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [known[each] for each in sources]


def tried(source: str, limits: Limits, jobs: int = 1) -> Outcome:
    """Return what came of one model, whatever its process ended with."""
    memory = int(limits.gigabytes * 2**30)
    options = {"--largest": limits.parameters, "--memory": memory, "--seconds": limits.seconds}
    given = [str(each) for option in options.items() for each in option]
    command = [sys.executable, "-m", "runtime.importing.survey.trial", source, *given]
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_WAITING * limits.seconds, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"source": source, **_too_slow(limits)}
    if ended.returncode == -signal.SIGXCPU:
        return {"source": source, **_too_slow(limits)}
    last = ended.stdout.rstrip("\n").rpartition("\n")[2]
    if ended.returncode == 0 and last.startswith("{"):
        found: Outcome = json.loads(last)
        return found
    return {"source": source, **_died(ended)}


def _too_slow(limits: Limits) -> Outcome:
    return {"status": "too slow", "reason": f"more than {limits.seconds} s"}


def _died(ended: subprocess.CompletedProcess[str]) -> Outcome:
    """Return what a process ended with that told nothing: the system kills what takes too much memory."""
    if ended.returncode < 0:
        return {"status": "too large", "reason": f"killed by signal {-ended.returncode}"}
    said = ended.stderr.strip().rpartition("\n")[2][:_LONGEST]
    return {
        "status": "too large" if "MemoryError" in said or "alloc" in said else "failed",
        "reason": said or f"exit status {ended.returncode}",
    }


def _cut_off_half_a_line(results: Path) -> None:
    if results.is_file():
        text = results.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            results.write_text(whole)
