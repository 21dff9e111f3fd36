"""A training that comes to harm, and is gone on with: what must be there in between, and at the end."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

from runtime.files.atomic import TEMPORARY
from runtime.store import read_saved
from runtime.training.checkpoints import read_checkpoint
from runtime.training.log import rows_before

ROOT = Path(__file__).parents[3]
SPEC = """
spec: 1
name: digits
inputs: {image: "float32[batch, 1, 8, 8]"}
model:
  - Flatten
  - Linear(48)
  - BatchNorm1d
  - ReLU
  - Dropout(0.1)
  - last: Linear(10)
train:
  data: {file: digits.npz, image: images, label: labels, test: 0.2, validation: 0.2}
  loss: cross_entropy(output, label)
  optimizer:
    last.weight: SGD(lr=0.1, momentum=0.9)
    else: AdamW(lr=1e-2)
  groups: {bias: {weight_decay: 0}}
  schedule: CosineAnnealingLR
  warmup: 4
  batch: 64
  accumulate: 3
  epochs: 3
  clip: 1.0
  ema: 0.9
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=10)"}
  monitor: validation_accuracy
  early_stopping: {patience: 2}
  watch: [Linear.weight]
"""
NAMES = (
    "digits.safetensors",
    "digits/checkpoint.safetensors",
    "digits/best.safetensors",
    "digits/metrics.csv",
    "digits.html",
)


class Trainings:
    """Trainings in a folder, of which one came to no harm."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "spec.yaml").write_text(SPEC)
        shutil.copy(ROOT / "specs" / "data" / "digits.npz", folder)
        command = [sys.executable, "-m", "tests.runtime.kills.trainer", str(folder)]
        self.process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT)
        self.whole = self.train()
        assert self.whole["end"] == "done"
        self.files = self._files()
        shutil.copytree(self.out, folder / "whole")
        assert self.files.keys() == set(NAMES)
        self.step = -1

    def begin(self) -> None:
        """Forget what earlier trainings left."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.step = -1

    def train(self, **harm: Any) -> dict[str, Any]:
        """Train, from the last checkpoint on if there is one, and return what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(harm), file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def examine(self) -> str:
        """Make sure that what is there is whole, and say how far the training is."""
        names = [name for name in self._files() if not TEMPORARY.fullmatch(Path(name).name)]
        assert {*names} <= {*NAMES}
        if (model := self.out / NAMES[0]).exists():
            assert read_saved(model).tensors
        if (best := self.out / NAMES[2]).exists():
            read_checkpoint(best)
        if not (last := self.out / NAMES[1]).exists():
            assert self.step < 0, "a checkpoint is lost"
            return "no checkpoint"
        state = read_checkpoint(last)
        assert state["global_step"] >= self.step, "a checkpoint is lost"
        self.step = state["global_step"]
        rows = rows_before(self.out / NAMES[3], self.step)
        assert rows == rows_before(self.folder / "whole" / NAMES[3], self.step), "rows of the log are lost"
        return f"epoch {state['epoch'] + 1}"

    def finish(self) -> None:
        """Go on to the end, which must be that of the training that came to no harm, in every byte."""
        assert self.train()["end"] == "done"
        found = self._files()
        assert found.keys() == self.files.keys()
        for name, data in self.files.items():
            assert found[name] == data, f"{name} has other bytes"

    def close(self) -> None:
        """End the process that trains."""
        self.process.communicate()

    def _files(self) -> dict[str, bytes]:
        paths = [path for path in self.out.rglob("*") if path.is_file()]
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in paths}


def one_line(said: str) -> bool:
    """Return whether an error is one line that names the file and says that nothing was written."""
    return re.fullmatch(r"\S+: No space left on device; (nothing was|it is) written.*", said) is not None
