"""A class that the caller names is taken as it is: for tests, as a plugin of a spec, and in a pickle."""

from __future__ import annotations

import pickle  # noqa: TID251 - what the test is about
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import compiler
import runtime
from compiler.catalogue.plugin_files import PluginError
from compiler.catalogue.plugins import load_plugin
from compiler.cli.app import app
from runtime.testing import subjects_at

PLAIN = """
from torch import Tensor, nn
from torch.nn import Linear


class Gated(nn.Module):
    def __init__(self, in_features: int, width: int, act=nn.SiLU, *rest, **more) -> None:
        super().__init__()
        self.up, self.gate = nn.Linear(in_features, width), nn.Linear(in_features, width)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x) * self.act(self.gate(x))


class Peak(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.abs().max()


class Untyped(nn.Module):
    def __init__(self, width) -> None:
        super().__init__()


class lower(nn.Module):
    pass


class Plain:
    pass


def function(x):
    return x
"""

MARKED = """
from torch import nn
from compiler.plugins import layer

@layer("Other", infer={"width": "x.shape[-1]"})
class Marked(nn.Linear):
    def __init__(self, width: int) -> None:
        super().__init__(width, 2)

class Beside(Marked):
    pass
"""

SPEC = """
spec: 1
requires: [plain]
inputs: {x: "float32[batch, 3]"}
model: [Gated(4), Linear(2)]
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.py"
    path.write_text(PLAIN, "utf-8")
    return path


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"}, prog_name="blockprint")


def test_a_class_without_a_mark_is_tried(plain: Path) -> None:
    result = cli("test-layer", f"{plain}:Gated", "--examples", "2", "--format", "short")
    assert result.exit_code == 0, result.output
    assert "Gated spec holds" in result.stdout


def test_the_command_of_a_failure_names_the_class(plain: Path, tmp_path: Path) -> None:
    case = tmp_path / "case.yaml"
    result = cli("test-layer", f"{plain}:Peak", "--case", str(case), "--examples", "2")
    assert result.exit_code == 1
    (command, *_) = re.findall(r"run:   python -m compiler (.*)", result.stdout)
    assert f"--plugin {plain}:Peak" in command
    again = cli(*command.replace("case.yaml", str(case)).split())
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gate", "has no layer `Gate`; did you mean `Gated`?"),
        ("Nothing", "has no layer `Nothing`; there are: Gated, Peak, Untyped, lower"),
        ("Untyped", "layer Untyped: 'width' needs an annotation, such as width: int"),
        ("Linear", "Linear has the name of a layer of torch: give it another one, as in @layer('MyLinear')"),
        ("lower", "the name of a layer must begin with an upper-case letter"),
        ("Plain", "Plain is no subclass of torch.nn.Module"),
        ("function", "function is no subclass of torch.nn.Module"),
    ],
)
def test_what_no_spec_could_name_is_said(plain: Path, name: str, message: str) -> None:
    result = cli("test-layer", f"{plain}:{name}")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_file_that_registers_nothing_says_how_a_class_is_named(plain: Path) -> None:
    with pytest.raises(PluginError, match=r"registers nothing: .*, or name a layer of it: .*plain\.py:Gated"):
        load_plugin(str(plain))


def test_a_spec_uses_a_class_that_the_caller_names(plain: Path, tmp_path: Path) -> None:
    artifact = compiler.compile_text(SPEC, plugins=[f"{plain}:Gated"])
    assert "from plain import Gated" in artifact.source
    assert "Gated(3, 4)" in artifact.source
    model = runtime.build(artifact, seed=0)
    runtime.save(model, tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors", plugins=[f"{plain}:Gated"])
    x = torch.randn(2, 3)
    assert torch.equal(model(x), again(x))
    copied = pickle.loads(pickle.dumps(artifact))  # noqa: S301 - that it can be pickled is the promise
    assert copied.source == artifact.source


def test_what_a_file_registers_comes_along(tmp_path: Path) -> None:
    path = tmp_path / "marked.py"
    path.write_text(MARKED, "utf-8")
    assert set(load_plugin(f"{path}:Beside").layers) == {"Other", "Beside"}
    assert set(load_plugin(f"{path}:Other").layers) == set(load_plugin(str(path)).layers) == {"Other"}
    (subject,) = subjects_at(f"{path}:Marked")
    assert subject.layer.name == "Other"
    assert subject.layer.arguments[0].deferred == "x.shape[-1]"
