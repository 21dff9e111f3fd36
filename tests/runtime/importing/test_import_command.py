"""`python -m compiler import`: a spec and its weights, all of it or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import compiler
import runtime
from compiler.cli.app import app

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(8, width)

    def forward(self, x):
        return self.linear(x).relu()


class Raising(Net):
    def forward(self, x):
        return self.linear(x[0, 0, 0])


def wrong():
    return Wrong()


class Wrong(Net):
    def forward(self, x):
        return self.linear(x) + torch.ones(4).to_sparse().to_dense()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)], prog_name="blockprint")


def test_it_writes_a_spec_and_the_weights_that_it_reads(model: Path) -> None:
    target = model.parent / "net.yaml"
    result = run(f"{model}:Net", "--input", "x=float32[batch, 8]", "--arg", "width=3", "-o", target)
    assert result.exit_code == 0, result.output
    built = runtime.build(compiler.compile(target), device="cpu")
    assert built(torch.randn(5, 8)).shape == (5, 3)
    assert (model.parent / "net.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("net.py:Nit", "--input", "x=float32[batch, 8]"), "has no callable `Nit`"),
        (("nut.py:Net", "--input", "x=float32[batch, 8]"), "there is no file"),
        (("net.py:Net",), "nothing says what"),
        (("net.py:Net", "--input", "x=float32[batch, time, 8]"), "no example size"),
        (("net.py:wrong", "--input", "x=float32[batch, 8]"), "torch.ones(4).to_sparse().to_dense()"),
        (("net.py:Raising", "--input", "x=float32[batch, 8]"), "return self.linear(x[0, 0, 0])"),
        (("net.py", "--input", "x=float32[batch, 8]"), "names no module"),
    ],
)
def test_what_is_wrong_is_one_message_and_nothing_is_written(
    model: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    result = run(*arguments, "-o", "made.yaml")
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert not Path("made.yaml").exists()
    assert not Path("made.safetensors").exists()
