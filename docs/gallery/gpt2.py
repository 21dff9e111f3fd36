import math
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, *, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.depth = depth
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.qkv.weight, std=0.02)
        nn.init.normal_(self.proj.weight, std=0.02 / math.sqrt(2 * self.depth))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.unflatten(self.qkv(x), 2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = self.proj(y.transpose(1, 2).flatten(2))
        return x


class MLP(nn.Sequential):
    def __init__(self, dim: int, *, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.up = nn.Linear(dim, 4 * dim)
        self.append(nn.GELU(approximate="tanh"))
        self.down = nn.Linear(4 * dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.up.weight, std=0.02)
        nn.init.normal_(self.down.weight, std=0.02 / math.sqrt(2 * self.depth))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, *, depth: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, depth=depth)
        self.ln2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, depth=depth)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        x = x + self.mlp(self.ln2(x))
        return x


class GPT2(nn.Module):
    def __init__(
        self, vocab: int = 50257, context: int = 1024, dim: int = 768, depth: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab, dim)
        self.wpe = nn.Embedding(context, dim)
        self.h = nn.Sequential(*[Block(dim, heads, depth=depth) for _ in range(depth)])
        self.ln_f = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.head.weight = self.wte.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    @classmethod
    def tiny(cls) -> Self:
        return cls(vocab=100, context=32, dim=32, depth=2, heads=4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        output: Tensor = self.head(self.ln_f(self.h(x)))
        return output
