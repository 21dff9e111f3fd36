"""Bytecode instructions of one forward beside the module written by hand: `PYTHONPATH=. python benchmarks/forward.py`.

Instructions are counted, not timed, in all Python code that a forward runs, torch's included: what emitted source adds
to the work of a small network would show in them first. They are the same in each run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import compiler
import runtime
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


def row(spec: str, hand: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Return the counts for a spec at its preset `tiny`."""
    artifact = compiler.compile(ROOT / spec, preset="tiny")
    models = [runtime.build(artifact, device="cpu"), run_file(artifact.source, artifact.name), hand]
    with torch.no_grad():
        for model in models:
            model.eval()(inputs)
        built, emitted, twin = (instructions(lambda m=model: m(inputs)) for model in models)
    return spec, f"{twin:,}", f"{built / twin:.3f}", f"{emitted / twin:.3f}"


def main() -> None:
    """Print the table."""
    table = Table("spec", "by hand", "built / by hand", "emitted / by hand")
    table.add_row(*row("specs/zoo/gpt2.yaml", HandGpt2(100, 32, 32, 2, 4), torch.randint(0, 100, (1, 16))))
    table.add_row(*row("specs/zoo/resnet.yaml", HandResnet([1, 2, 1, 1], 4, 10), torch.randn(1, 3, 64, 64)))
    Console().print(table)


if __name__ == "__main__":
    main()
