"""Modules written by hand that emitted source is measured beside: each as lean as a person would write it for speed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, dim = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, -1).transpose(1, 2) for part in self.qkv(x).split(dim, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(batch, time, dim))  # type: ignore[no-any-return]


class MLP(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(dim, 4 * dim), nn.GELU("tanh"), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.attn = nn.LayerNorm(dim), Attention(dim, heads)
        self.ln2, self.mlp = nn.LayerNorm(dim), MLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))  # type: ignore[no-any-return]


class Gpt2(nn.Module):
    """GPT-2 with the layers of `specs/zoo/gpt2.yaml`."""

    def __init__(self, vocab: int, context: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, dim), nn.Embedding(context, dim)
        self.h = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.ln_f = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))  # type: ignore[no-any-return]


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
