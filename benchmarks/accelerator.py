"""GPT-2 on an accelerator beside the module written by hand: building, loading, forward, a step of training.

An accelerator works behind the program's back, so that the clock waits for it, and is that of the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

import compiler
import runtime
from benchmarks.gpt2 import SIZES, Gpt2
from benchmarks.measured import Row, in_turns

SPEC = Path(__file__).parents[1] / "specs/zoo/gpt2.yaml"
WORKS = ("build", "load", "forward", "step")
BANDWIDTH = "load, of the bandwidth from host to device"


def rows(quick: bool) -> Iterator[Row]:
    """Yield a row for each work; none is measured where there is no accelerator."""
    if not torch.accelerator.is_available():
        why = "there is no accelerator here"
        yield from (
            Row(13, f"GPT-2 on an accelerator: {work} ÷ by hand", (), 1.0, note=why) for work in WORKS
        )
        yield Row(13, f"GPT-2 on an accelerator: {BANDWIDTH}", (), 0.8, note=why, at_least=True)
        return
    device = torch.accelerator.current_accelerator()
    assert device is not None
    yield from measured(device, {**SIZES, "depth": 2} if quick else SIZES, rounds=3 if quick else 9)


def measured(device: torch.device, sizes: Mapping[str, int], rounds: int) -> Iterator[Row]:
    """Yield the rows of a device."""
    clock = clock_of(device)
    artifact = compiler.compile(SPEC, set=sizes)
    model, twin = runtime.build(artifact, device=str(device)), Gpt2(**sizes).to(device)
    twin.load_state_dict(model.state_dict())
    tokens = torch.randint(sizes["vocab"], (4, min(256, sizes["context"])), device=device)

    def row(work: str, ours: Callable[[], object], theirs: Callable[[], object]) -> Row:
        return Row(
            13, f"GPT-2 on {device.type}: {work} ÷ by hand", in_turns(ours, theirs, rounds, clock), 1.0
        )

    yield row(
        "build",
        lambda: runtime.build(artifact, device=str(device)),
        lambda: Gpt2(**sizes).to(device),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gpt2.safetensors"
        runtime.save(model, path)
        load = partial(runtime.load, path, device=str(device))
        yield row("load", load, lambda: loaded_by_hand(path, device, sizes))
        copied = in_turns(copy_of(path, device), load, rounds, clock)
        yield Row(13, f"GPT-2 on {device.type}: {BANDWIDTH}", copied, 0.8, at_least=True)
    yield row("forward", lambda: forward(model, tokens), lambda: forward(twin, tokens))
    yield row("step", step_of(model, tokens), step_of(twin, tokens))


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return a clock that waits until the device is done."""
    if device.type == "cpu":
        return time.perf_counter

    def clock() -> float:
        torch.accelerator.synchronize(device)
        return time.perf_counter()

    return clock


def loaded_by_hand(path: Path, device: torch.device, sizes: Mapping[str, int]) -> nn.Module:
    """Return the module with the values of a file, none of them checked."""
    with torch.device("meta"):
        twin = Gpt2(**sizes)
    twin.load_state_dict(load_file(path, device=str(device)), strict=False, assign=True)
    twin.head.weight = twin.wte.weight
    return twin


def copy_of(path: Path, device: torch.device) -> Callable[[], object]:
    """Return what copies as many bytes as a file has, from memory that the device reads by itself."""
    host = torch.empty(path.stat().st_size, dtype=torch.uint8, pin_memory=device.type != "cpu")
    there = torch.empty_like(host, device=device)
    return lambda: there.copy_(host, non_blocking=True)


def forward(model: nn.Module, tokens: Tensor) -> None:
    """Run a model without gradients."""
    with torch.no_grad():
        model(tokens)


def step_of(model: nn.Module, tokens: Tensor) -> Callable[[], object]:
    """Return a step of a training."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        logits = model(tokens)
        F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()

    return step
