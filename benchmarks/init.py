"""First values of GPT-2 (124M) beside those of modules written by hand: `PYTHONPATH=. python benchmarks/init.py`.

All are measured in turn, in one run. A module by hand draws in one thread, one tensor after the other, and what it
initialises by rules of its own it draws twice.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import compiler
import runtime
from tests.specs.test_twins import HandGpt2

ROOT = Path(__file__).parents[1]
SIZES = {"vocab": 50257, "context": 1024, "dim": 768, "depth": 12, "heads": 12}
ROUNDS = 5


def by_hand_with_rules() -> nn.Module:
    """Return the module by hand, with the initialisation that its paper gives: what the spec has as rules."""
    model = HandGpt2(**SIZES)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith(("proj.weight", "down.weight")):
            nn.init.normal_(parameter, std=0.02 / (2 * SIZES["depth"]) ** 0.5)
    return model


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
            "by hand, rules of GPT-2": by_hand_with_rules,
            "transformers": lambda: GPT2LMHeadModel(GPT2Config()),
        }
    )
    table = Table("GPT-2 124M", "seconds", "here / there", title=f"{torch.get_num_threads()} threads")
    for name, each in seconds.items():
        table.add_row(name, f"{each:.2f}", f"{seconds['here'] / each:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
