"""`params`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import runtime
from tests.compiler.cli.conftest import MLP, Call

NAMES = ["body.0.0.weight", "body.0.0.bias", "body.1.0.weight", "body.1.0.bias", "head.weight", "head.bias"]


@pytest.fixture
def model(cli: Call, mlp: Path, tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    assert cli("run", mlp, "--save", path).exit_code == 0
    return path


def test_a_spec_has_names_and_shapes(cli: Call, mlp: Path) -> None:
    result = cli("params", mlp)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["name", "shape", "kind"]
    assert [line.split()[0] for line in lines[2:8]] == NAMES
    assert lines[7].split() == ["head.bias", "[2]", "frozen"]
    assert lines[-1] == "6 tensors of float32, 130 parameters"


def test_dtypes_are_shown_where_they_differ(cli: Call, mlp: Path) -> None:
    mlp.write_text(
        MLP.replace("  forward: |", "  buffers: {steps: {tensor: 'int64[3]', init: zeros}}\n  forward: |")
    )
    text = cli("params", mlp).stdout
    assert "int64[3]" in text
    assert "float32[2, 8]" in text
    assert "buffer" in text


def test_a_saved_model_has_statistics(cli: Call, model: Path) -> None:
    lines = cli("params", model).stdout.splitlines()
    assert lines[0].split() == ["name", "shape", "mean", "std", "min", "max", "norm", "kind"]
    assert lines[6].split() == ["head.weight", "[2,", "8]", "1", "0", "1", "1", "4"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_it_fits_the_terminal(cli: Call, model: Path, width: int) -> None:
    assert max(map(len, cli("params", model, width=width).stdout.splitlines())) <= width


def test_values_are_shown_where_a_selector_names_a_few(cli: Call, model: Path) -> None:
    text = cli("params", model, "/head").stdout
    assert "head.weight =\ntensor([[1., 1., 1., 1., 1., 1., 1., 1.]," in text
    assert "head.bias =\ntensor([" in text
    assert "tensor([" not in cli("params", model).stdout
    assert "tensor([" not in cli("params", model, "**").stdout


def test_printing_values_leaves_the_options_of_torch_alone(cli: Call, model: Path) -> None:
    before = str(torch.arange(100.0))
    cli("params", model, "/head", width=200)
    assert str(torch.arange(100.0)) == before


def test_json_of_a_saved_model(cli: Call, model: Path) -> None:
    weight, bias = json.loads(cli("params", model, "head", "--format", "json").stdout)
    assert weight["statistics"] == {"mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0, "norm": 4.0}
    assert weight["values"] == [[1.0] * 8] * 2
    state = runtime.load(model).state_dict()
    assert torch.equal(torch.tensor(bias["values"]), state["head.bias"])
    assert "values" not in json.loads(cli("params", model, "--format", "json").stdout)[0]


def test_short_is_a_line_for_each_tensor(cli: Call, mlp: Path) -> None:
    lines = cli("params", mlp, "--format", "short").stdout.splitlines()
    assert lines[0] == "body.0.0.weight: float32[8, 4]"
    assert len(lines) == 6


def test_a_file_that_is_no_saved_model(cli: Call, tmp_path: Path) -> None:
    for name, content in (
        ("a.safetensors", b""),
        ("b.safetensors", b"spec: 1"),
        ("c", b"\x08\0\0\0\0\0\0\0{}      "),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        result = cli("params", path)
        assert result.exit_code == 1, name
        assert result.stderr.startswith("error: ")
        assert str(path) in result.stderr
