"""Modules that stay layers of Python: the spec says what they were made with, and needs the plugin beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from compiler.cli.app import app
from runtime.importing.imported import from_module
from spec_schema.diagnostics import SpecError

FILE = """
import torch
from torch import nn


class Odd(nn.Module):
    def __init__(self, width, rate: float = 0.5, *, names=("a", "b"), act=nn.ReLU):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.act, self.half = act(), rate / 2
        self.tied = self.linear

    def forward(self, x):
        x = self.linear(x)
        return x if x.is_meta else self.act(x) * (self.half if float(x.detach().sum()) > 0 else 2.0)


class Around(nn.Module):
    def __init__(self, width, rate):
        super().__init__()
        self.odd = Odd(width, rate, names=["c"])

    def forward(self, x):
        return x + self.odd(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.blocks = nn.Sequential(Around(4, 0.5), Around(4, 0.25))

    def forward(self, x):
        return self.blocks(self.stem(x))
"""

USE = """
import sys, torch, compiler, runtime
artifact = compiler.compile("made/net.yaml", plugins=["made/net_layers.py"])
model = runtime.build(artifact, device="cpu", folder="made")
torch.save(model(torch.linspace(-1, 1, 15).reshape(5, 3)), "ours.pt")
import odd
module = odd.Net()
module.load_state_dict(model.state_dict())
assert torch.equal(torch.load("ours.pt"), module(torch.linspace(-1, 1, 15).reshape(5, 3)))
"""


class Kept(nn.Module):
    def __init__(self, width: int, steps: int = 2, scale: object = None) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.width, self.steps = width, steps

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = self.linear(x)
        return x


class Silent(Kept):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        del self.width


def test_the_command_writes_a_plugin_that_another_process_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text(FILE)
    Path("made").mkdir()
    given = ["odd.py:Net", "--input", "x=float32[batch, 3]", "--keep", "Odd", "-o", "made/net.yaml"]
    result = CliRunner().invoke(app, ["import", *given], prog_name="blockprint")
    assert result.exit_code == 0, result.output
    assert "the spec needs `--plugin made/net_layers.py`" in result.output
    text = Path("made/net.yaml").read_text()
    assert "requires: [net_layers]" in text
    assert "odd: Odd(4, rate=rate, names=['c'])" in text
    assert "blocks: [Around(0.5), Around(0.25)]" in text
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_live_module_says_by_its_attributes_what_it_was_made_with() -> None:
    module = nn.Sequential(nn.Linear(3, 4), Kept(4, 3), Kept(4))
    made = from_module(module, [torch.randn(2, 3)], keep=[Kept])
    assert 'model: [Linear(4), "Kept(4, steps=3)", Kept(4)]' in made.text
    assert made.plugin is not None
    assert made.plugin.name == "weights_layers"


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    made = from_module(nn.Sequential(Kept(4)), [torch.randn(2, 4)], keep=[Kept], prove_it=False)
    (tmp_path / "weights_layers.py").write_text("mine = 1")
    with pytest.raises(SpecError, match="written by somebody else"):
        made.save(tmp_path / "made.yaml")
    assert [each.name for each in tmp_path.iterdir()] == ["weights_layers.py"]


@pytest.mark.parametrize(
    ("keep", "module", "said"),
    [
        ("Kapt", nn.Sequential(Kept(4)), "no module is a `Kapt`"),
        ("Silent", nn.Sequential(Silent(4)), "nothing says which `width`"),
        ("Kept", Kept(4), "the model itself"),
        ("Linear", nn.Sequential(nn.Linear(4, 4)), "has the name of a layer of torch's"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep: str, module: nn.Module, said: str) -> None:
    with pytest.raises(SpecError, match=said) as refused:
        from_module(module, [torch.randn(2, 4)], keep=[keep])
    assert refused.value.diagnostics[0].code == "import-keep"


def test_a_type_that_no_file_has_is_refused() -> None:
    class Local(Kept):
        pass

    with pytest.raises(SpecError, match="no name of its file is that type"):
        from_module(nn.Sequential(Local(4)), [torch.randn(2, 4)], keep=[Local])
