"""`load-plan`, and `save --like`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.compiler.cli.conftest import Call

SPEC = """\
spec: 1
name: reader
inputs: {x: "float[batch, 3]"}
model:
  layers:
    qkv: Linear(6)
    out: Linear(3)
    head: Linear(2)
  forward: |
    return head(out(qkv(x)))
init:
  - "{qkv,out}":
      checkpoint: theirs.safetensors
      prefix: m.
      transpose: [qkv, out]
      stack: {qkv: [q, k]}
      skip: [/mask]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    shapes = {"m.q": [3, 3], "m.k": [3, 3], "m.out": [6, 3]}
    tensors = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": torch.randn(3).double() for name in shapes}
    tensors["mask"] = torch.ones(2, 2)
    save_file(tensors, tmp_path / "theirs.safetensors")
    (tmp_path / "reader.yaml").write_text(SPEC.replace("[qkv, out]", "[q, k, out]"))
    return tmp_path / "reader.yaml"


def test_every_tensor_has_a_line(cli: Call, spec: Path) -> None:
    result = cli("load-plan", spec, width=120)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"theirs.safetensors, {spec}:13"
    rows = [line.split("  ") for line in lines[4:] if "m." in line or "mask" in line]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["m.q.weight", "float32[3, 3]", "transposed, joined, 1 of 2", "qkv.weight"],
        ["m.k.weight", "float32[3, 3]", "transposed, joined, 2 of 2", "qkv.weight"],
        ["m.q.bias", "float64[3]", "joined, 1 of 2, to float32", "qkv.bias"],
        ["m.k.bias", "float64[3]", "joined, 2 of 2, to float32", "qkv.bias"],
        ["m.out.weight", "float32[6, 3]", "transposed", "out.weight"],
        ["m.out.bias", "float64[3]", "to float32", "out.bias"],
        ["mask", "float32[2, 2]", "skipped by /mask"],
    ]
    assert "6 tensors are taken, 1 skipped" in result.stdout
    assert lines[-1] == "4 of the 6 tensors of the model are loaded; 2 have other first values"


@pytest.mark.parametrize("width", [60, 80, 140])
def test_it_fits_the_terminal(cli: Call, spec: Path, width: int) -> None:
    assert max(map(len, cli("load-plan", spec, width=width).stdout.splitlines()[:-1])) <= width


def test_short_and_json_say_the_same(cli: Call, spec: Path) -> None:
    short = cli("load-plan", spec, "--format", "short").stdout.splitlines()
    assert short[0] == "m.q.weight -> qkv.weight: transposed, joined, 1 of 2"
    assert short[-1] == "mask: skipped by /mask"
    (rule,) = json.loads(cli("load-plan", spec, "--format", "json").stdout)
    assert (rule["path"], rule["file"], rule["line"]) == ("theirs.safetensors", str(spec), 13)
    assert len(rule["tensors"]) == len(short) == 7
    assert rule["tensors"][0] == {
        "source": "m.q.weight",
        "source_shape": [3, 3],
        "source_dtype": "float32",
        "steps": ["transposed", "joined, 1 of 2"],
        "target": "qkv.weight",
        "target_names": ["qkv.weight"],
        "target_shape": [6, 3],
        "target_dtype": "float32",
    }


def test_what_does_not_fit_is_located(cli: Call, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("skip: [/mask]", "skip: [/msak]"))
    result = cli("load-plan", spec, "--format", "short")
    assert result.exit_code == 1
    assert "reader.yaml:17:14: error[checkpoint-pattern]" in result.stderr
    assert "error[checkpoint-unused]: `mask` of" in result.stderr
    assert result.stdout == ""


def test_a_spec_without_a_checkpoint_says_so(cli: Call, mlp: Path) -> None:
    result = cli("load-plan", mlp)
    assert (result.exit_code, result.stdout) == (0, "no rule of this spec reads a checkpoint\n")


def test_a_model_is_saved_in_the_names_of_the_checkpoint(cli: Call, spec: Path, tmp_path: Path) -> None:
    theirs, model, back = (tmp_path / f"{name}.safetensors" for name in ("theirs", "model", "back"))
    assert cli("run", spec, "--save", model).exit_code == 0
    refused = cli("save", model, "-o", back, "--like", theirs)
    assert refused.exit_code == 1
    assert "has no place for 2 tensors of Reader" in refused.stderr
    assert "note: head.weight" in refused.stderr
    result = cli("save", model, "-o", back, "--like", theirs, "--leave", "head")
    assert result.exit_code == 0
    assert result.stdout == f"wrote {back}: 6 tensors of {model}, 1 as they are in {theirs}\n"
    assert back.read_bytes() == theirs.read_bytes()
    said = json.loads(
        cli("save", model, "-o", back, "--like", theirs, "--leave", "head", "--format", "json").stdout
    )
    assert said == {"tensors": 6, "kept": 1, "files": [str(back)]}
    assert load_file(back).keys() == load_file(theirs).keys()


def test_what_is_wrong_on_the_line_is_said(cli: Call, spec: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    assert cli("run", spec, "--save", model).exit_code == 0
    missing = cli("save", model, "-o", tmp_path / "x", "--like", tmp_path / "thiers.safetensors")
    assert missing.exit_code == 2
    assert "did you mean" in missing.stderr
    assert "theirs.safetensors" in missing.stderr
    a_spec = cli("save", spec, "-o", tmp_path / "x", "--like", tmp_path / "theirs.safetensors")
    assert a_spec.exit_code == 2
    assert "is no saved model" in a_spec.stderr
    assert cli("save", model, "--like", tmp_path / "theirs.safetensors").exit_code == 2
    there = cli("save", model, "-o", tmp_path, "--like", tmp_path / "theirs.safetensors", "--leave", "head")
    assert there.exit_code == 2
    assert "ordinary file" in there.stderr
