"""First values of GPT-2 (124M) beside modules by hand; `PYTHONPATH=. python -m benchmarks.init` prints seconds.

All are measured in turn, in one run. A module by hand draws in one thread, one tensor after the other, and what it
initialises by rules of its own it draws twice. CPU time says what work there is; wall time, on a computer that does
nothing else, what it is to wait for where cores draw together.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import compiler
import runtime
from benchmarks.gpt2 import SIZES, Gpt2
from benchmarks.measured import Row
from benchmarks.measured import times as measure
from tests.specs.test_twins import HandGpt2

ROOT = Path(__file__).parents[1]
ROUNDS = 5
CHUNK = 2**15
KINDS = {time.process_time: "CPU time", time.perf_counter: "wall time"}
NOTE = (
    "the numbers take a half, the first touch of their memory most of the rest, as they do for a module by hand. Huge"
    " pages halve that touch, and asking a system for them whose memory is in pieces took a second"
)


def drawn_once() -> nn.Module:
    """Return the module by hand, made without values, each of which is then drawn once."""
    with torch.device("meta"):
        model = HandGpt2(**SIZES)
    model = model.to_empty(device="cpu")
    model.head.weight = model.wte.weight
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            nn.init.constant_(parameter, float(name.endswith("weight")))
        else:
            down = name.endswith(("proj.weight", "down.weight"))
            nn.init.normal_(parameter, std=0.02 / (2 * SIZES["depth"]) ** 0.5 if down else 0.02)
    return model


def rate(count: int) -> None:
    """Draw so many numbers in memory that stays in the cache of one core."""
    chunk, generator = torch.empty(CHUNK), torch.Generator()
    for _ in range(count // CHUNK):
        chunk.normal_(0.0, 0.02, generator=generator)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the table."""
    artifact = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", set=SIZES)
    count = sum(math.prod(row.shape) for row in artifact.plan.rows if len(row.shape) > 1)
    others = {
        "by hand, torch's defaults and then its rules": (lambda: Gpt2(**SIZES), 0.40),
        "drawn once by hand": (drawn_once, 0.85),
        "the rate of one core's generator × cores": (lambda: rate(count), 1.25),
    }
    calls = [lambda: runtime.build(artifact, device="cpu"), *(call for call, _ in others.values())]
    for clock in (time.process_time, time.perf_counter):
        taken = measure(calls, 2 if quick else 7, clock)
        for place, (name, (_, limit)) in enumerate(others.items(), 1):
            cores = torch.get_num_threads() if clock is time.perf_counter and "cores" in name else 1
            ratios = tuple(cores * each[0] / each[place] for each in taken)
            yield Row(7, f"first values of GPT-2 124M ÷ {name}, {KINDS[clock]}", ratios, limit, note=NOTE)


def in_turn(functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each function, called in turn so that all meet the same neighbours."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            made = function()
            taken[name].append(time.perf_counter() - start)
            del made
            gc.collect()  # a model with ties is freed here, and its memory used again, as that of the others
    return {name: median(times) for name, times in taken.items()}


def main() -> None:
    """Print the table."""
    artifact = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", set=SIZES)
    seconds = in_turn(
        {
            "here": lambda: runtime.build(artifact, device="cpu"),
            "by hand, torch's defaults": lambda: HandGpt2(**SIZES),
            "by hand, rules of GPT-2": lambda: Gpt2(**SIZES),
            "transformers": lambda: GPT2LMHeadModel(GPT2Config()),
        }
    )
    table = Table("GPT-2 124M", "seconds", "here / there", title=f"{torch.get_num_threads()} threads")
    for name, each in seconds.items():
        table.add_row(name, f"{each:.2f}", f"{seconds['here'] / each:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
