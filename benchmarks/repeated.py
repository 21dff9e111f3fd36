"""Modules written by hand for the specs of `build.py` that have no twin among the tests."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.jobs.llama import turn


class Rotary(nn.Module):
    inv_freq: Tensor

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        powers = torch.arange(0, head_dim, 2) / head_dim
        self.register_buffer("inv_freq", 1 / theta**powers, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        angles = torch.outer(torch.arange(x.shape[1]), self.inv_freq).repeat(1, 2)
        return angles.cos(), angles.sin()


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.q_proj = nn.Linear(dim, heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(dim, kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(dim, kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(heads * self.head_dim, dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        out: Tensor = self.o_proj(y.transpose(1, 2).flatten(2))
        return out


class GatedMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)
        self.act_fn = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return out


class DecoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, kv_heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, kv_heads)
        self.mlp = GatedMlp(dim, hidden)
        self.input_layernorm = nn.RMSNorm(dim, eps)
        self.post_attention_layernorm = nn.RMSNorm(dim, eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    def __init__(
        self,
        vocab: int,
        dim: int,
        depth: int,
        heads: int,
        kv_heads: int,
        hidden: int,
        theta: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, kv_heads, hidden, eps) for _ in range(depth))
        self.norm = nn.RMSNorm(dim, eps)
        self.rotary_emb = Rotary(dim // heads, theta)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        cos, sin = self.rotary_emb(x)
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.norm(x)
        return out


class Llama(nn.Module):
    """`specs/zoo/llama.yaml`."""

    LARGE: ClassVar[dict[str, int]] = {
        "vocab": 32000,
        "dim": 8192,
        "depth": 80,
        "heads": 64,
        "kv_heads": 8,
        "hidden": 28672,
    }
    """The sizes of its preset `llama2_70b`."""

    def __init__(
        self,
        vocab: int,
        dim: int,
        depth: int,
        heads: int,
        kv_heads: int,
        hidden: int,
        theta: float = 1e4,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.model = Decoder(vocab, dim, depth, heads, kv_heads, hidden, theta, eps)
        self.lm_head = nn.Linear(dim, vocab, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.lm_head(self.model(tokens))
        return out


class Block(nn.Module):
    """The block of `blocks`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.down(F.gelu(self.up(self.norm(x))))
        return out


class Blocks(nn.Module):
    """The spec that `blocks` returns."""

    def __init__(self, width: int, count: int, step: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Block(width, width + step * index) for index in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(x)
        return out


def blocks(width: int, count: int, step: int) -> str:
    """Return a spec of blocks in a row, each with a hidden layer wider by `step` than that of the one before."""
    return f"""\
spec: 1
name: Blocks
inputs: {{x: "float32[batch, {width}]"}}
blocks:
  Block(width, hidden):
    layers:
      norm: LayerNorm
      up: Linear(hidden)
      down: Linear(width)
    forward: |
      return x + down(gelu(up(norm(x))))
model:
  layers:
    blocks: {{repeat: {count}, of: "Block({width}, {width} + {step} * index)"}}
  forward: |
    return blocks(x)
"""
