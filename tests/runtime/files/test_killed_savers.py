"""Savers that are killed at random moments: afterwards there is the older model or the newer one, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import PIPE

import pytest
from torch import Tensor

import compiler
import runtime
from runtime.store import read_saved

ROOT = Path(__file__).parents[3]
SAVES = 50
SPEC = """
spec: 1
name: wide
inputs: {x: "float32[batch, 300]"}
model:
  - Linear(600)
  - Linear(300)
"""

SERVER = """
import os, signal, sys, time
import torch
torch.set_num_threads(1)
import compiler, runtime

spec, path = sys.argv[1:]
model = runtime.build(compiler.compile_text(spec), device="cpu")
print(runtime.save(model, path), flush=True)
for line in sys.stdin:  # a saver for each line, which says when it is done, and may be killed after a time
    mark, delay = line.split()
    saver = os.fork()
    if saver == 0:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(int(mark))
        runtime.save(model, path)
        os.write(1, b"saved ")
        os._exit(0)
    if delay != "never":
        time.sleep(float(delay))
        os.kill(saver, signal.SIGKILL)
    os.waitpid(saver, 0)
    os.write(1, b"end\\n")
"""


class Savers:
    """A process that forks savers, so that each costs little."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.input, self.output = process.stdin, process.stdout
        self.digest = self.output.readline().strip()
        self.seconds = min(self._timed() for _ in range(4))

    def _timed(self) -> float:
        started = time.perf_counter()
        assert self.save(0, "never")
        return time.perf_counter() - started

    def save(self, mark: int, delay: float | str) -> bool:
        """Save a model of a mark, and kill that after a delay. Return whether it was done before."""
        print(mark, delay, file=self.input, flush=True)
        said = self.output.readline().split()
        assert said[-1:] == ["end"]
        return said[0] == "saved"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def savers(folder: Path) -> Iterator[Savers]:
    command = [sys.executable, "-c", SERVER, SPEC, str(folder / "model.safetensors")]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT) as process:
        yield Savers(process)


def test_another_process_writes_the_same_bytes(savers: Savers, tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    assert runtime.save(model, tmp_path / "model") == savers.digest


def mark_of(tensors: Mapping[str, Tensor]) -> int:
    (mark,) = {value.item() for tensor in tensors.values() for value in tensor.unique()}
    return int(mark)


@pytest.mark.parametrize("overwriting", [False, True], ids=["first save", "overwrite"])
def test_no_model_is_corrupt_and_none_is_lost(overwriting: bool, savers: Savers, folder: Path) -> None:
    path, draw = folder / "model.safetensors", random.Random(0)
    path.unlink(missing_ok=True)
    before, cut = None, 0
    for mark in range(1, SAVES + 1):
        if not overwriting:
            path.unlink(missing_ok=True)
            before = None
        done = savers.save(mark, draw.uniform(0, 0.9 * savers.seconds))
        found = mark_of(read_saved(path).tensors) if path.exists() else None
        assert found in ((mark,) if done else (before, mark)), "a model is lost"
        before, cut = found, cut + any(each.suffix == ".tmp" for each in folder.iterdir())
    assert cut > 0, "no saver was killed at its work"
    assert before is None or mark_of(dict(runtime.load(path, device="cpu").named_parameters())) == before


def test_what_they_left_is_swept_by_the_next(savers: Savers, folder: Path) -> None:
    assert savers.save(0, "never")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors"}
