"""Layers of plugins without rules: they draw their own first values, by seed and name all the same."""

from pathlib import Path

import torch

import compiler
import runtime

PLUGIN = """
import torch
from torch import Tensor, nn
from compiler.catalogue.plugins import layer

@layer
class Scale(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn(in_features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
"""


def test_values_follow_from_seed_and_name(tmp_path: Path) -> None:
    (tmp_path / "scales.py").write_text(PLUGIN)
    spec = 'spec: 1\ninputs: {x: "float32[batch, 3]"}\nmodel: [Scale, Scale]\n'
    artifact = compiler.compile_text(spec, plugins=[str(tmp_path / "scales.py")])
    before = torch.get_rng_state()
    first, again, other = (runtime.build(artifact, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first["0.factor"], again["0.factor"])
    assert not torch.equal(first["0.factor"], first["1.factor"])
    assert not torch.equal(first["0.factor"], other["0.factor"])
