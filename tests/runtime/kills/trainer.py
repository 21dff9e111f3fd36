"""Trains again and again in a process that has imported all: `python -m tests.runtime.kills.trainer FOLDER`.

Each line of its input asks for a training, in a process of its own that is forked, and may say how that comes to harm:
it is killed after a time, or at one of the moments at which it asks the system to write; or the disk is full from such
a moment on. For each line it answers what came of that.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

import compiler
import runtime.training.fit  # before a process is forked, which would else import it each time
from runtime.files import atomic
from runtime.train import train


class Moments:
    """Counts when the system is asked to write, and does harm at one of them."""

    def __init__(self, harm: str, at: int) -> None:
        self.harm, self.at = harm, at
        self.passed: list[str] = []

    def watch(self) -> None:
        """Put what counts before the functions of the system that write."""
        write = os.write
        os.write = lambda handle, data: self._halved(write, handle, data)
        for name in ("fsync", "replace"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        atomic.open = lambda handle, mode: Stream(handle, self)  # type: ignore[attr-defined]

    def come(self, name: str) -> None:
        """Count a moment, at which there may be harm."""
        if self.harm == "kill" and len(self.passed) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(name)
        if self.harm == "full" and len(self.passed) > self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.come(f"{name} {Path(arguments[-1]).name}" if name == "replace" else name)
            return function(*arguments)

        return call

    def _halved(self, write: Callable[[int, bytes], int], handle: int, data: bytes) -> int:
        """Write half of the data before the moment, and the rest after it."""
        half = write(handle, data[: len(data) // 2])
        self.come("append")
        return half + write(handle, data[half:])


class Stream(io.BufferedWriter):
    """A file, each write to which goes to the system."""

    def __init__(self, handle: int, moments: Moments) -> None:
        super().__init__(io.FileIO(handle, "w"))
        self.moments = moments

    def write(self, data: Any) -> int:
        """Write, and hand on to the system."""
        self.moments.come("write")
        count = super().write(data)
        self.flush()
        return count


def trained(artifact: compiler.Artifact, folder: Path, asked: dict[str, Any], answer: int) -> None:
    """Train in this process, and write what came of it into a pipe."""
    moments = Moments(asked.get("harm", ""), asked.get("at", -1))
    moments.watch()
    checkpoint = folder / "out" / "digits" / "checkpoint.safetensors"
    resume = checkpoint if checkpoint.exists() else None
    said: dict[str, Any] = {"end": "done"}
    try:
        train(artifact, out=folder / "out", resume=resume, progress=False, data_paths=[folder])
    except OSError as error:
        said = {"end": f"{error.filename}: {error.strerror}"}
    with open(answer, "w") as pipe:
        json.dump({**said, "moments": moments.passed}, pipe)


def harmed(artifact: compiler.Artifact, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Train in another process, and return what came of it, with its seconds of CPU."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            trained(artifact, folder, asked, writer)
        finally:
            os._exit(0)
    os.close(writer)
    if "delay" in asked:
        wait_for(child, asked["delay"])
        os.kill(child, signal.SIGKILL)
    with open(reader) as pipe:
        text = pipe.read()
    used = os.wait4(child, 0)[2]
    said: dict[str, Any] = json.loads(text) if text.endswith("}") else {"end": "killed"}
    return {**said, "seconds": used.ru_utime + used.ru_stime}


def wait_for(child: int, seconds: float) -> None:
    """Wait until a process has used so many seconds of CPU, or has ended."""
    process = psutil.Process(child)
    while process.status() != psutil.STATUS_ZOMBIE and sum(process.cpu_times()[:2]) < seconds:
        time.sleep(0.001)


def main() -> None:
    """Answer each line of the input."""
    assert runtime.training.fit
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    artifact = compiler.compile(folder / "spec.yaml")
    for line in sys.stdin:
        print(json.dumps(harmed(artifact, folder, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
