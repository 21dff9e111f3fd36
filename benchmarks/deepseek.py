"""`summary` of DeepSeek-V3 in its full size: 61 layers, 58 of them with 256 experts each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measured import Row, processes_in_turns

SPEC = str(Path(__file__).parents[1] / "specs/zoo/deepseek_v3.yaml")
LIMIT = 3.0
"""Seconds of CPU beyond those of `import torch`."""


def rows(quick: bool) -> Iterator[Row]:
    """Yield the seconds of a process beyond those of one that imports torch; nothing if it has to be quick."""
    if quick:
        return
    pairs = processes_in_turns(("-m", "compiler", "summary", SPEC), ("-c", "import torch"), 5)
    samples = tuple(ours.seconds - theirs.seconds for ours, theirs in pairs)
    yield Row(11, "summary of DeepSeek-V3's full size, beyond `import torch`", samples, LIMIT, unit="s")
