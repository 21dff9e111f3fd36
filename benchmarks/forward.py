"""One forward beside the module written by hand; `PYTHONPATH=. python -m benchmarks.forward` prints counts.

Python calls and bytecode instructions are counted, not timed, in all Python code that a forward runs, torch's included:
what emitted source adds to the work of a small network would show in them first. They are the same in each run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import compiler
import runtime
from benchmarks.flat import NET, Flat
from benchmarks.gpt2 import Gpt2
from benchmarks.measured import Row, in_turns
from compiler.artifact import Artifact
from tests.emitted_file import run_file
from tests.specs.test_twins import HandGpt2, HandResnet

ROOT = Path(__file__).parents[1]


def instructions(function: Callable[[], object]) -> int:
    """Return how many bytecode instructions a call runs."""
    count = 0

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return step

    sys.settrace(step)
    try:
        function()
    finally:
        sys.settrace(None)
    return count


def python_calls(function: Callable[[], object]) -> int:
    """Return how many functions written in Python a call runs."""
    count = 0

    def step(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(step)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@dataclass(frozen=True)
class Pair:
    """A spec and a module by hand that computes the same, or as much."""

    number: int
    name: str
    artifact: Artifact
    hand: nn.Module
    inputs: Tensor
    limit: float

    def row(self, rounds: int) -> Row:
        """Return the row of the table."""
        models = [runtime.build(self.artifact, device="cpu").eval(), self.hand.eval()]
        ours, theirs = (partial(model, self.inputs) for model in models)
        with torch.no_grad():
            ratios = in_turns(ours, theirs, rounds)
            note = f"{python_calls(ours):,} Python calls, {python_calls(theirs):,} by hand"
        return Row(self.number, f"forward of {self.name} ÷ by hand", ratios, self.limit, note=note)


def pairs() -> Iterator[Pair]:
    """Yield what is measured."""
    sizes = {"vocab": 1000, "context": 64, "dim": 128, "depth": 12, "heads": 4}
    gpt2 = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", set=sizes)
    tokens = torch.randint(0, 1000, (1, 4))
    yield Pair(5, "GPT-2 of 12 × 128, 4 tokens", gpt2, Gpt2(**sizes), tokens, 1.00)
    net = compiler.compile_text(NET)
    yield Pair(6, "residuals, branches and a repeat", net, Flat(), torch.randn(64, 64), 1.02)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the table."""
    torch.set_num_threads(1)  # a thread that waits for another one spins, and spends CPU time
    for pair in pairs():
        yield pair.row(5 if quick else 15)


def row(name: str, artifact: Artifact, hand: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Return the counts for an artifact."""
    models = [runtime.build(artifact, device="cpu"), run_file(artifact.source, artifact.name), hand]
    with torch.no_grad():
        for model in models:
            model.eval()(inputs)
        built, emitted, twin = (instructions(lambda m=model: m(inputs)) for model in models)
        calls = [python_calls(lambda m=model: m(inputs)) for model in models]
    ratios = f"{built / twin:.3f}", f"{emitted / twin:.3f}"
    return name, f"{calls[2]:,}", f"{calls[0]:,}", f"{twin:,}", *ratios


def main() -> None:
    """Print the table."""
    table = Table(
        "model",
        "calls by hand",
        "calls built",
        "instructions by hand",
        "built / by hand",
        "emitted / by hand",
    )
    for _, name, artifact, hand, inputs, _ in pairs():
        table.add_row(*row(name, artifact, hand, inputs))
    gpt2, resnet = (
        compiler.compile(ROOT / f"specs/zoo/{name}.yaml", preset="tiny") for name in ("gpt2", "resnet")
    )
    table.add_row(*row("gpt2, tiny", gpt2, HandGpt2(100, 32, 32, 2, 4), torch.randint(0, 100, (1, 16))))
    table.add_row(*row("resnet, tiny", resnet, HandResnet([1, 2, 1, 1], 4, 10), torch.randn(1, 3, 64, 64)))
    Console().print(table)


if __name__ == "__main__":
    main()
