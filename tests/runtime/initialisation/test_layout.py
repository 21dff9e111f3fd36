"""A built model's tensors lie in memory as a loaded one's do, so that both give the same bits."""

from __future__ import annotations

from pathlib import Path

import torch

import compiler
import runtime

SPEC = """
spec: 1
inputs: {x: "float[batch, 3]"}
model: [Linear(3), Linear(3)]
init: [{/0.weight: orthogonal(gain=0.5)}]
"""


def test_first_values_are_contiguous_and_a_saved_file_gives_the_same_bits(tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())
    runtime.save(model, tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors", device="cpu")
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), again(x))
