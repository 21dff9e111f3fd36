"""`layers` and `devices`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.catalogue.layers import layer_names
from compiler.catalogue.operation_table import FUNCTIONS
from tests.compiler.cli.conftest import Call

PLUGIN = '''
from torch import Tensor, nn
from compiler.plugins import layer, operation

@layer
class Scale(nn.Module):
    """Multiplies by a learnt factor. And more."""
    def __init__(self, in_features: int, start: float = 1.0) -> None:
        super().__init__()

@operation
def twice(x: Tensor) -> Tensor:
    """Doubles. Nothing else."""
    return 2 * x
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "scale.py"
    path.write_text(PLUGIN)
    return path


def test_every_layer_is_listed(cli: Call) -> None:
    assert cli("layers", "--format", "short").stdout.split() == sorted(layer_names())
    found = json.loads(cli("layers", "--format", "json").stdout)
    assert {each["name"] for each in found} == layer_names()


def test_inferred_arguments_stand_in_brackets(cli: Call) -> None:
    text = cli("layers").stdout
    assert "\n  Linear([in_features], out_features, bias=True)\n" in text
    assert (
        "\n      Applies an affine linear transformation to the incoming data: y = xA^T +\n      b.\n" in text
    )


@pytest.mark.parametrize("width", [50, 80, 140])
def test_lists_fit_the_terminal(cli: Call, width: int) -> None:
    for arguments in (
        ["layers"],
        ["layers", "--operations"],
        ["layers", "Transformer"],
        ["layers", "conv2d"],
    ):
        assert max(map(len, cli(*arguments, width=width).stdout.splitlines())) <= width


def test_all_about_one_layer(cli: Call) -> None:
    assert cli("layers", "Linear").stdout == (
        "Linear, a layer of torch.nn\n"
        "Applies an affine linear transformation to the incoming data: y = xA^T + b.\n"
        "\n"
        "argument      takes          if left out\n"
        "────────────────────────────────────────────────────────────────\n"
        "in_features   an integer     follows: the last size of the input\n"
        "out_features  an integer     required\n"
        "bias          true or false  True\n"
        "\n"
        "write  Linear(out_features)\n"
        "or     Linear(out_features, bias=True)\n"
        "or     {layer: Linear, out_features: ...}\n"
    )


def test_a_layer_as_json(cli: Call) -> None:
    found = json.loads(cli("layers", "Conv2d", "--format", "json").stdout)
    arguments = {each["name"]: each for each in found["arguments"]}
    assert arguments["in_channels"]["inferred"] == "x.shape[channel]"
    assert arguments["out_channels"]["required"]
    assert arguments["stride"]["default"] == "1"


def test_every_layer_has_a_page(cli: Call) -> None:
    for name in sorted(layer_names()):
        result = cli("layers", name)
        assert result.exit_code == 0, name
        assert result.stdout.startswith(f"{name}, a layer of torch.nn\n")


def test_operations(cli: Call) -> None:
    names = cli("layers", "--operations", "--format", "short").stdout.split()
    assert set(names) <= set(FUNCTIONS)
    assert {"relu", "cat", "fft.rfft", "rearrange"} <= set(names)
    text = cli("layers", "softmax").stdout
    assert text.startswith("softmax, an operation: torch.nn.functional.softmax\n")
    assert "in a program   softmax(x, ...), or x.softmax(...)\n" in text
    assert "in a program  zeros(...)\n" in cli("layers", "zeros").stdout


def test_a_misspelt_name(cli: Call) -> None:
    result = cli("layers", "Liner")
    assert result.exit_code == 2
    assert result.stderr == "error: there is no layer or operation `Liner`\n  help: did you mean `Linear`?\n"
    assert "did you mean `softmax`?" in cli("layers", "sofmax").stderr


def test_what_a_plugin_adds(cli: Call, plugin: Path) -> None:
    assert cli("layers", "--plugin", plugin, "--format", "short").stdout.split()[0] == "Scale"
    page = cli("layers", "Scale", "--plugin", plugin, width=200).stdout
    assert page.startswith(f"Scale, a layer of {plugin}\n")
    assert "follows: the last size of the input" in page
    assert "Doubles." in cli("layers", "twice", "--plugin", plugin).stdout
    assert cli("layers", "Scale").exit_code == 2


def test_devices(cli: Call) -> None:
    text = cli("devices").stdout
    found = json.loads(cli("devices", "--format", "json").stdout)
    names = [each["name"] for each in found["devices"]]
    assert names[-1] == "cpu"
    assert found["auto"] == names[0]
    assert f"`auto` is {names[0]} here" in text
    assert cli("devices", "--format", "short").stdout.split() == names
