from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Turn(nn.Module):
    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Each key and value serves a group of queries."""

    def __init__(self, dim: int, heads: int, kv_heads: int, head_dim: int, bias: bool = False) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = nn.Linear(dim, heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(dim, kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(dim, kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(heads * head_dim, dim, bias=False)
        self.turn = Turn()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None = None) -> Tensor:
        q = self.turn(torch.unflatten(self.q_proj(x), 2, (-1, self.head_dim)).transpose(1, 2), cos, sin)
        k = self.turn(torch.unflatten(self.k_proj(x), 2, (-1, self.head_dim)).transpose(1, 2), cos, sin)
        v = torch.unflatten(self.v_proj(x), 2, (-1, self.head_dim)).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
        x = self.o_proj(y.transpose(1, 2).flatten(2))
        return x


class Experts(nn.Module):
    def __init__(self, count: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.count = count
        self.gate_up_proj = nn.Parameter(torch.zeros(count, 2 * hidden, dim))
        self.down_proj = nn.Parameter(torch.zeros(count, dim, hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.gate_up_proj, std=0.02)
        nn.init.normal_(self.down_proj, std=0.02)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        for e in range(self.count):
            gate, up = F.linear(x, self.gate_up_proj[e]).chunk(2, dim=-1)
            y = y + F.linear(F.silu(gate) * up, self.down_proj[e]) * weights[..., e : e + 1]
        return y


class Mixture(nn.Module):
    """Experts are weighted by their odds among those that are chosen."""

    def __init__(self, count: int, chosen: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.chosen = chosen
        self.gate = nn.Linear(dim, count, bias=False)
        self.experts = Experts(count, dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        odds = F.softmax(self.gate(x), dim=-1)
        best, indices = torch.topk(odds, self.chosen)
        x = self.experts(x, torch.zeros_like(odds).scatter(-1, indices, best / best.sum(-1, keepdim=True)))
        return x


class Layer(nn.Module):
    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        count: int,
        chosen: int,
        hidden: int,
        eps: float,
    ) -> None:
        super().__init__()
        self.self_attn = Attention(dim=dim, heads=heads, kv_heads=kv_heads, head_dim=head_dim)
        self.mlp = Mixture(count=count, chosen=chosen, dim=dim, hidden=hidden)
        self.input_layernorm = nn.RMSNorm(dim, eps=eps)
        self.post_attention_layernorm = nn.RMSNorm(dim, eps=eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


class Rotary(nn.Module):
    """Cosines and sines of the angles by which the pairs of a head turn, for each position."""

    inv_freq: Tensor

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        self.register_buffer(
            "inv_freq", 1 / theta ** (torch.arange(0, head_dim, 2) / head_dim), persistent=False
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        angles = torch.outer(torch.arange(x.shape[1], device=x.device), self.inv_freq)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class Decoder(nn.Module):
    def __init__(
        self,
        vocab: int,
        dim: int,
        depth: int,
        scale: int = 1,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        count: int,
        chosen: int,
        hidden: int,
        eps: float,
        theta: float,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.embed_tokens = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList(
            [
                Layer(
                    dim=dim,
                    heads=heads,
                    kv_heads=kv_heads,
                    head_dim=head_dim,
                    count=count,
                    chosen=chosen,
                    hidden=hidden,
                    eps=eps,
                )
                for _ in range(depth)
            ]
        )
        self.norm = nn.RMSNorm(dim, eps=eps)
        self.rotary_emb = Rotary(head_dim=head_dim, theta=theta)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.embed_tokens(tokens) * self.scale
        cos, sin = self.rotary_emb(x)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        output: Tensor = self.norm(x)
        return output


class Mixtral(nn.Module):
    def __init__(
        self,
        vocab: int = 32000,
        dim: int = 4096,
        depth: int = 32,
        heads: int = 32,
        kv_heads: int = 8,
        hidden: int = 14336,
        n_experts: int = 8,
        n_chosen: int = 2,
        theta: float = 1000000.0,
        eps: float = 1e-05,
    ) -> None:
        super().__init__()
        head_dim = dim // heads
        self.model = Decoder(
            vocab,
            dim,
            depth,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            count=n_experts,
            chosen=n_chosen,
            hidden=hidden,
            eps=eps,
            theta=theta,
        )
        self.lm_head = nn.Linear(dim, vocab, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)

    @classmethod
    def tiny(cls) -> Self:
        return cls(vocab=100, dim=32, depth=2, heads=4, kv_heads=2, hidden=24, n_experts=4)

    @classmethod
    def mixtral_8x22b(cls) -> Self:
        return cls(vocab=32768, dim=6144, depth=56, heads=48, hidden=16384)

    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.lm_head(self.model(tokens))
        return output
