"""A Llama of 1.1 billion parameters built on four ranks: what a rank takes of memory, and of time to start.

Beside it, smaller, a model that each rank builds whole before torch shards it: of the large one, four would not fit.
`PYTHONPATH=. python -m benchmarks.ranks`
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import compiler
import runtime
from benchmarks.measured import Row
from runtime.sharded import local

ROOT = Path(__file__).parents[1]
RANKS = 4
LARGE = {"dim": 2048, "depth": 22, "heads": 32, "kv_heads": 4, "hidden": 5632}
"""1,100,048,384 parameters."""
SMALL = {**LARGE, "dim": 1024, "heads": 16, "hidden": 2816, "depth": 12}
WAYS = ("by parts", "whole")


def artifact(sizes: dict[str, int]) -> compiler.Artifact:
    return compiler.compile(ROOT / "specs/zoo/llama.yaml", set=sizes)


def by_parts(made: compiler.Artifact) -> nn.Module:
    """Build each rank's part alone."""
    return runtime.build_on_mesh(made, sizes={"dp": RANKS}, device="cpu")


def whole(made: compiler.Artifact) -> nn.Module:
    """Build the whole model on each rank, and shard it."""
    model, mesh = runtime.build(made, device="cpu"), init_device_mesh("cpu", (RANKS,))
    for block in model.get_submodule("model.layers"):  # type: ignore[attr-defined]
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def rank(sizes: dict[str, int], way: str) -> None:
    """Build as one rank, and print what that took: seconds of CPU, the bytes at the peak, and those of its part."""
    torch.set_num_threads(1)
    made = artifact(sizes)
    distributed.init_process_group("gloo")
    distributed.barrier()
    before, start = peak(), time.process_time()
    model = by_parts(made) if way == WAYS[0] else whole(made)
    took = time.process_time() - start
    share = sum(local(each).nbytes for each in model.parameters())
    unit = max(sum(p.numel() for p in block.parameters()) for block in model.get_submodule("model.layers"))  # type: ignore[attr-defined]
    print(
        json.dumps({"took": took, "peak": peak() - before, "share": share, "unit": unit * RANKS}), flush=True
    )
    distributed.destroy_process_group()


def peak() -> int:
    """Return the bytes that this process held at most, until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def on_ranks(sizes: dict[str, int], way: str) -> list[dict[str, Any]]:
    """Return what each rank printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), "--no-python"]
    own = [sys.executable, "-m", "benchmarks.ranks", json.dumps(sizes), way]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([*command, *own], env=environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the table."""
    large = on_ranks(SMALL if quick else LARGE, WAYS[0])
    name = "a Llama of 0.2 billion parameters" if quick else "a Llama of 1.1 billion parameters"
    over = tuple((each["peak"] - each["share"]) / each["unit"] for each in large)
    yield Row(0, f"{name} on {RANKS} ranks: memory of a rank beyond its part, in largest units", over, 1.1)
    if quick:
        return  # eight more processes would take too long
    pairs = [(on_ranks(SMALL, WAYS[0]), on_ranks(SMALL, WAYS[1])) for _ in range(3)]
    ratios = tuple(max(a["took"] for a in ours) / max(b["took"] for b in theirs) for ours, theirs in pairs)
    yield Row(
        0, f"{RANKS} ranks, each of its part alone, beside the whole model built and sharded", ratios, 0.6
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        rank(json.loads(sys.argv[1]), sys.argv[2])
    else:
        for each in rows("--quick" in sys.argv):
            print(each)
