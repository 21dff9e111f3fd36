"""Layers whose constructor takes values from NumPy: they are on no meta device, and in a spec all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import compiler
import runtime

PLUGIN = """
import numpy as np
import torch
from torch import Tensor, nn
from compiler.plugins import layer

@layer
class Waves(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        table = np.sin(np.arange(in_features)).astype(np.float32)
        self.register_buffer("table", torch.from_numpy(table))
        self.first = nn.Parameter(torch.from_numpy(table.copy()))
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        return x * self.table + self.first - self.second
"""
SPEC = 'spec: 1\nrequires: [waves]\ninputs: {x: "float[batch, 4]"}\nmodel: [waves: Waves]\n'


def test_a_table_of_numpy_is_a_buffer_and_ties_stay(tmp_path: Path) -> None:
    (tmp_path / "waves.py").write_text(PLUGIN)
    artifact = compiler.compile_text(SPEC, plugins=[str(tmp_path / "waves.py")])
    model = runtime.build(artifact)
    wanted = torch.from_numpy(np.sin(np.arange(4)).astype(np.float32))
    waves = model.get_submodule("waves")
    assert isinstance(waves.table, Tensor)
    assert torch.equal(waves.table, wanted)
    assert waves.first is waves.second
    assert artifact.plan.by_name["waves.first"] is artifact.plan.by_name["waves.second"]
    x = torch.randn(2, 4)
    torch.testing.assert_close(model(x), x * wanted)
