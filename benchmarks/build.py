"""What a spec costs beside the module written by hand: `PYTHONPATH=. python benchmarks/build.py`.

Ratios are measured side by side in one run. `compile` has no counterpart; it is given in milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.benchmark import Timer

import compiler
import runtime
from tests.specs.test_twins import HandGpt2, HandResnet

ROOT = Path(__file__).parents[1]
GPT2 = {"vocab": 50257, "context": 1024, "dim": 768, "depth": 12, "heads": 12}
RESNET = {"depths": [3, 4, 6, 3], "base": 64, "classes": 1000}


def seconds(function: Callable[[], object], number: int = 3) -> float:
    """Return the median time of a call."""
    timer = Timer("function()", globals={"function": function}, num_threads=torch.get_num_threads())
    return float(timer.timeit(number).median)


def row(path: str, hand: Callable[[], torch.nn.Module], inputs: torch.Tensor) -> tuple[str, ...]:
    """Measure one architecture."""
    compiler.compile(ROOT / path)
    start = time.perf_counter()
    artifact = compiler.compile(ROOT / path)
    compiled = time.perf_counter() - start
    ours, theirs = seconds(lambda: runtime.build(artifact, device="cpu")), seconds(hand)
    model, twin = runtime.build(artifact, device="cpu").eval(), hand().eval()
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        first, second = seconds(lambda: model(inputs)), seconds(lambda: twin(inputs))
    return (artifact.name, f"{compiled * 1e3:.0f} ms", f"{ours / theirs:.2f}", f"{first / second:.2f}")


def main() -> None:
    """Print the table."""
    table = Table("model", "compile", "build / by hand", "forward / by hand")
    tokens = torch.randint(0, 50257, (1, 64))
    table.add_row(*row("specs/zoo/gpt2.yaml", lambda: HandGpt2(**GPT2), tokens))
    image = torch.randn(1, 3, 224, 224)
    table.add_row(*row("specs/zoo/resnet.yaml", lambda: HandResnet(**RESNET), image))
    Console().print(table)


if __name__ == "__main__":
    main()
