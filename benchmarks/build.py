"""What a spec costs beside the module written by hand, on the meta device.

From the text of a spec to a module without values, and from a compiled spec to one, each over the constructor written
by hand. No two texts are the same: a comment behind each has its number, so that nothing can be remembered by its text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

import compiler
import runtime
from benchmarks.gpt2 import SIZES
from benchmarks.measured import Row, times
from benchmarks.repeated import Blocks, Llama, blocks
from compiler.artifact import Artifact
from spec_schema.clock import Clock
from tests.specs.test_twins import HandGpt2, HandResnet

ZOO = Path(__file__).parents[1] / "specs" / "zoo"
ROUNDS = 7
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


CASES = (
    Case("GPT-2, 12 layers", (ZOO / "gpt2.yaml").read_text("utf-8"), lambda: HandGpt2(**SIZES), 2),
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
TRIED = (
    "Documents, torch's layers and their rules are known from one compilation to the next, equal blocks are inferred,"
    " ruled and emitted once, and classes run from their tree, without a formatter; reading YAML alone takes six tenths"
    " of the time of a small model's constructor by hand, and each different block must be run once"
)
"""What made compiling faster, and what is left."""
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


def shares(compile_it: Callable[[], object], rounds: int) -> str:
    """Return the share that each stage of the compiler has of its CPU time, the largest first."""
    clock = Clock(math.inf, time.process_time)
    with clock.running():
        for _ in range(rounds):
            compile_it()
    whole = sum(clock.spent.values())
    found = sorted(clock.spent.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{stage} {spent / whole:.0%}" for stage, spent in found if spent >= whole / 100)


def row_pair(case: Case, rounds: int) -> Iterator[Row]:
    """Measure one case, from its text and from its artifact."""
    artifact = compiled(case)
    calls = [lambda: by_hand(case), lambda: on_meta(compiled(case)), lambda: on_meta(artifact)]
    taken = times(calls, rounds)
    text, built = (tuple(each[at] / each[0] for each in taken) for at in (1, 2))
    note = f"stages of the compiler: {shares(lambda: compiled(case), rounds)}. {TRIED}"
    yield Row(1, f"{case.name}: text of the spec to a module on meta ÷ by hand", text, case.limit, note=note)
    yield Row(2, f"{case.name}: `runtime.build` on meta ÷ by hand", built, case.limit)


def rows(quick: bool) -> Iterator[Row]:
    """Measure all cases."""
    for case in CASES:
        yield from row_pair(case, 3 if quick else ROUNDS)
