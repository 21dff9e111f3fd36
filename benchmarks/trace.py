"""Tracing GPT-2 of 12 layers for `torch.compile`, beside a module by hand: Dynamo alone, and with AOT autograd.

No code is generated. `PYTHONPATH=. python -m benchmarks.trace` prints the Python calls that each takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import compiler
import runtime
from benchmarks.forward import python_calls
from benchmarks.gpt2 import Gpt2
from benchmarks.measured import Row, in_turns
from tests.emitted_file import run_file

ROOT = Path(__file__).parents[1]
SIZES = {"vocab": 1000, "context": 64, "dim": 128, "depth": 12, "heads": 4}
BACKENDS = {"eager": "Dynamo", "aot_eager": "Dynamo and AOT autograd"}


def models() -> dict[str, nn.Module]:
    """Return the model that is built, that of the emitted file alone, and the one by hand."""
    artifact = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", set=SIZES)
    built = runtime.build(artifact, device="cpu")
    made = {"built": built, "emitted": run_file(artifact.source, artifact.name), "hand": Gpt2(**SIZES)}
    return {name: model.eval() for name, model in made.items()}


def trace(model: nn.Module, backend: str, tokens: Tensor) -> None:
    """Trace a model anew, and run it once."""
    torch._dynamo.reset()
    with torch.no_grad():
        torch.compile(model, backend=backend)(tokens)


def tracings(backend: str) -> dict[str, Callable[[], None]]:
    """Return what traces each of the models."""
    tokens = torch.randint(0, SIZES["vocab"], (1, 4))
    return {name: partial(trace, model, backend, tokens) for name, model in models().items()}


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the table."""
    for backend, name in BACKENDS.items():
        calls = tracings(backend)
        for ours in ("built", "emitted"):
            ratios = in_turns(calls[ours], calls["hand"], 2 if quick else 7)
            yield Row(4, f"tracing GPT-2 of 12 layers, {ours}, {name} ÷ by hand", ratios, 1.05)


def main() -> None:
    """Print the counts."""
    for backend in BACKENDS:
        for name, call in tracings(backend).items():
            call()
            print(f"{backend:10} {name:8} {python_calls(call):,} Python calls")


if __name__ == "__main__":
    main()
