"""What a spec costs beside the module written by hand, on the meta device: `PYTHONPATH=. python benchmarks/build.py`.

From the text of a spec to a module without values, and from a compiled spec to one, each over the constructor written
by hand. All are measured in turn, in CPU time of one process, after one call of each. No two texts are the same: a
comment behind each has its number, so that nothing can be remembered by its text. As with `timeit`, the garbage
collector waits meanwhile: whether it looks at all objects of a process in one call or in the next is chance.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import compiler
import runtime
from benchmarks.twins import Blocks, Llama, blocks
from compiler.artifact import Artifact
from tests.specs.test_twins import HandGpt2, HandResnet

ZOO = Path(__file__).parents[1] / "specs" / "zoo"
ROUNDS = 7
GPT2 = {"vocab": 50257, "context": 1024, "dim": 768, "depth": 12, "heads": 12}
RESNET: Mapping[str, Any] = {"depths": [3, 4, 6, 3], "base": 64, "classes": 1000}


@dataclass(frozen=True)
class Case:
    """A spec and the module written by hand."""

    name: str
    text: str
    hand: Callable[[], nn.Module]
    limit: float
    """The ratio to reach."""
    preset: str | None = None


@dataclass(frozen=True)
class Row:
    """Medians of ratios to the constructor written by hand, and its milliseconds of CPU time."""

    name: str
    limit: float
    hand: float
    from_text: float
    from_artifact: float


CASES = (
    Case("GPT-2, 12 layers", (ZOO / "gpt2.yaml").read_text("utf-8"), lambda: HandGpt2(**GPT2), 2),
    Case("ResNet-50", (ZOO / "resnet.yaml").read_text("utf-8"), lambda: HandResnet(**RESNET), 3),
    Case(
        "Llama-70B, 80 blocks",
        (ZOO / "llama.yaml").read_text("utf-8"),
        lambda: Llama(**Llama.LARGE),
        1,
        "llama2_70b",
    ),
    Case("1,000 equal blocks", blocks(256, 1000, 0), lambda: Blocks(256, 1000, 0), 1),
    Case("100 different blocks", blocks(256, 100, 8), lambda: Blocks(256, 100, 8), 4),
)
IMPORTS = {
    path.relative_to(ZOO).as_posix(): path.read_text("utf-8") for path in (ZOO / "blocks").glob("*.yaml")
}
_number = count()


def compiled(case: Case) -> Artifact:
    """Return the artifact of a text that was never compiled before."""
    text = f"{case.text}\n# {next(_number)}\n"
    return compiler.compile_text(text, preset=case.preset, imports=IMPORTS)


def on_meta(artifact: Artifact) -> nn.Module:
    """Return the module of an artifact, without values."""
    return runtime.build(artifact, device="meta", allow_large=True)


def by_hand(case: Case) -> nn.Module:
    """Return the module written by hand, without values."""
    with torch.device("meta"):
        return case.hand()


def in_turn(functions: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return the seconds of CPU time of each function in each round, after one call of each."""
    taken: list[list[float]] = []
    for _ in range(rounds + 1):
        taken.append([])
        for function in functions:
            gc.collect()
            gc.disable()
            start = time.process_time()
            made = function()
            taken[-1].append(time.process_time() - start)
            gc.enable()
            del made
    return taken[1:]


def row(case: Case, rounds: int = ROUNDS) -> Row:
    """Measure one case."""
    artifact = compiled(case)
    functions = [lambda: by_hand(case), lambda: on_meta(compiled(case)), lambda: on_meta(artifact)]
    taken = in_turn(functions, rounds)
    text, built = (median(each[at] / each[0] for each in taken) for at in (1, 2))
    return Row(case.name, case.limit, median(each[0] for each in taken) * 1e3, text, built)


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    """Measure all cases."""
    return (row(case, rounds) for case in CASES)


def main() -> None:
    """Print the table."""
    table = Table("model", "by hand", "text to module / by hand", "build / by hand", "to reach")
    for each in rows():
        ratios = (f"{ratio:.2f}" for ratio in (each.from_text, each.from_artifact))
        table.add_row(each.name, f"{each.hand:.1f} ms", *ratios, f"{each.limit:g}")
    Console().print(table)


if __name__ == "__main__":
    main()
