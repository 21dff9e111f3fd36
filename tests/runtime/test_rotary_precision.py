"""Rotary positions of a bfloat16 model keep their frequencies in single precision, as in a module written by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime

HEAD_DIM, THETA, LENGTH = 64, 10_000.0, 4096
BLOCKS = Path(__file__).parents[2] / "specs" / "zoo" / "blocks"


class Rotary(nn.Module):
    """As transformers has it: the frequencies are never rounded, the cosines and sines once."""

    inv_freq: Tensor

    def __init__(self) -> None:
        super().__init__()
        steps = torch.arange(0, HEAD_DIM, 2) / HEAD_DIM
        self.register_buffer("inv_freq", 1 / THETA**steps, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        angles = torch.outer(torch.arange(x.shape[1]), self.inv_freq)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def exact() -> Tensor:
    steps = torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM
    angles = torch.outer(torch.arange(LENGTH, dtype=torch.float64), 1 / THETA**steps)
    return torch.cat([angles, angles], dim=-1).cos()


def errors(cosines: Tensor) -> float:
    return float((cosines.double() - exact()).abs().mean())


@pytest.fixture
def model(tmp_path: Path) -> nn.Module:
    text = f"""
spec: 1
import: {{decoder.yaml: [Rotary]}}
inputs: {{x: "float[batch, time, 16]"}}
model:
  layers:
    rotary: Rotary({HEAD_DIM}, {THETA})
    norm: RMSNorm
  forward: |
    cos, sin = rotary(norm(x))
    return cos, sin
placement:
  - /: {{dtype: bfloat16}}
"""
    (tmp_path / "decoder.yaml").write_text((BLOCKS / "decoder.yaml").read_text())
    (tmp_path / "spec.yaml").write_text(text)
    return runtime.build(compiler.compile(tmp_path / "spec.yaml"))


def test_frequencies_of_a_bfloat16_model_are_those_of_the_formula(model: nn.Module) -> None:
    twin = Rotary()
    frequencies = model.get_buffer("rotary.inv_freq")
    assert frequencies.dtype == torch.float32
    assert torch.equal(frequencies, twin.inv_freq)
    assert model.get_parameter("norm.weight").dtype == torch.bfloat16


def test_its_cosines_and_sines_are_rounded_once(model: nn.Module) -> None:
    x = torch.rand(1, LENGTH, 16, dtype=torch.bfloat16)
    found, expected = model(x), Rotary()(x)
    assert all(map(torch.equal, found, expected))
    assert found[0].dtype == torch.bfloat16
    rounded = Rotary().bfloat16()
    assert errors(found[0]) == errors(expected[0]) < 0.002
    assert errors(rounded(x)[0]) > 0.1  # what it was where the buffer took the dtype of the model


def test_the_llama_of_the_zoo_runs_in_bfloat16(tmp_path: Path) -> None:
    shutil.copytree(BLOCKS, tmp_path / "blocks")
    text = (BLOCKS.parent / "llama.yaml").read_text() + "placement: [{/: {dtype: bfloat16}}]\n"
    (tmp_path / "llama.yaml").write_text(text)
    artifact = compiler.compile(tmp_path / "llama.yaml", preset="tiny")
    llama = runtime.build(artifact)
    assert {
        name for name, tensor in (*llama.named_parameters(), *llama.named_buffers()) if _is_single(tensor)
    } == {"model.rotary_emb.inv_freq"}
    assert llama(torch.tensor([[1, 2, 3]])).dtype == artifact.inferred.output.dtype == torch.bfloat16


def _is_single(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32


def test_a_saved_model_has_them_too(model: nn.Module, tmp_path: Path) -> None:
    runtime.save(model, tmp_path / "model.safetensors")
    loaded = runtime.load(tmp_path / "model.safetensors")
    assert torch.equal(loaded.get_buffer("rotary.inv_freq"), Rotary().inv_freq)
