"""System 16: parameters on disk, and architecture and parameters in one file that needs nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from twins import COURSE, ROOT, built, drawn, redraw

import compiler
import runtime

FRESH = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)

import torch
import runtime

model = runtime.load("model.safetensors", device="cpu")
runtime.save_tensors(model(runtime.load_tensors("input.safetensors")), "output.safetensors")
specs = [path for path in opened if "specs" in path.split("/") or path.endswith("my_layers.py")]
assert not specs, specs
"""


def test_parameters_of_the_mlp_go_into_a_clone(tmp_path: Path) -> None:
    model, clone = built("01_mlp", seed=0), built("01_mlp", seed=1)
    x = drawn(2, 20)
    assert not torch.equal(model(x), clone(x))
    runtime.save_tensors(dict(model.state_dict()), tmp_path / "mlp.params")
    clone.load_state_dict(runtime.load_tensors(tmp_path / "mlp.params"))
    assert torch.equal(model(x), clone(x))


@pytest.mark.parametrize("name", ["01_mlp", "16_one_file", "03_fixed_hidden_mlp", "09_shared_by_rule"])
def test_the_file_is_the_model(name: str, tmp_path: Path) -> None:
    model = built(name)
    redraw(model)
    runtime.save(model, tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors", device="cpu")
    x = drawn(2, 4 if name.startswith("09") else 20)
    assert torch.equal(model(x), again(x))
    assert list(again.state_dict()) == list(model.state_dict())
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())


def in_a_fresh_process(model: nn.Module, folder: Path) -> torch.Tensor:
    """The output of a model for `drawn(2, 20)`, from a process that has its file and nothing else."""
    runtime.save(model, folder / "model.safetensors")
    runtime.save_tensors(drawn(2, 20), folder / "input.safetensors")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", FRESH], cwd=folder, env=environment, check=True)
    output = runtime.load_tensors(folder / "output.safetensors")
    assert isinstance(output, torch.Tensor)
    return output


def test_a_fresh_process_that_has_only_the_file_gives_the_same_output(tmp_path: Path) -> None:
    model = built("16_one_file")
    redraw(model)
    assert torch.equal(in_a_fresh_process(model, tmp_path), model(drawn(2, 20)))


def test_the_spec_may_be_gone(tmp_path: Path) -> None:
    for name in ("16_one_file", "04_nested", "12_my_linear"):
        shutil.copy(COURSE / f"{name}.yaml", tmp_path)
    model = runtime.build(compiler.compile(tmp_path / "16_one_file.yaml"), device="cpu")
    runtime.save(model, tmp_path / "model.safetensors")
    for spec in tmp_path.glob("*.yaml"):
        spec.unlink()
    again = runtime.load(tmp_path / "model.safetensors", device="cpu")
    assert torch.equal(model(drawn(2, 20)), again(drawn(2, 20)))
    again_saved = tmp_path / "again.safetensors"
    runtime.save(again, again_saved)
    assert again_saved.read_bytes() == (tmp_path / "model.safetensors").read_bytes()
