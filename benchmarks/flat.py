"""A net of residuals, branches and a repeat, and the same layers in flat classes by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NET = """
spec: 1
inputs:
  x: float[batch, 64]
model:
  - Linear(64)
  - repeat: 12
    of:
      - residual: [LayerNorm, Linear(128), ReLU, Linear(64)]
      - parallel:
          left: Linear(32)
          right: [Linear(16), ReLU, Linear(32)]
        combine: cat(dim=-1)
  - Linear(10)
"""


class FlatBlock(nn.Module):
    """The layers of a block of `NET`, in one class."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.act, self.down = (
            nn.LayerNorm(64),
            nn.Linear(64, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
        )
        self.left = nn.Linear(64, 32)
        self.first, self.between, self.last = nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.down(self.act(self.up(self.norm(x))))
        return torch.cat([self.left(x), self.last(self.between(self.first(x)))], dim=-1)


class Flat(nn.Module):
    """`NET` without a module for each residual, branch and sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(64, 64), nn.Linear(64, 10)
        self.blocks = nn.ModuleList(FlatBlock() for _ in range(12))

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = block(x)
        return self.end(x)  # type: ignore[no-any-return]
