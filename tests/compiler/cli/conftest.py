"""What the tests of the command line share: a way to call it, and two small specs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from compiler.cli.app import app

Call = Callable[..., Result]

MLP = """\
spec: 1
name: mlp
vars: {hidden: 8, deep: 2}
presets:
  wide: {hidden: 16}
inputs: {x: "float32[batch, 4]"}
blocks:
  Block(width):
    - Linear(width)
    - ReLU
model:
  layers:
    body: {repeat: deep, of: Block(hidden)}
    head: Linear(2)
  forward: |
    return head(body(x))
init:
  - Linear.weight: normal(std=0.02)
  - head.weight: ones
freeze: [head.bias]
"""

BROKEN = """\
spec: 1
inputs: {x: "float32[batch, 4]"}
model:
  - Liner(8)
  - ReLU(inplce=True)
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the program, on a terminal of 80 columns if `width` says nothing else."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("BLOCKPRINT_DEBUG", raising=False)

    def call(*arguments: str | Path, width: int = 80) -> Result:
        given = [str(each) for each in arguments]
        return CliRunner().invoke(app, given, env={"COLUMNS": str(width)}, prog_name="blockprint")

    return call


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    """A spec with two equal blocks, a preset, rules that overrule each other, and a frozen bias."""
    path = tmp_path / "mlp.yaml"
    path.write_text(MLP)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A spec with two mistakes that do not depend on each other."""
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    return path
