import math
from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Buckets(nn.Module):
    """The bucket of the distance from each position to each other one."""

    def __init__(self, causal: bool, *, buckets: int, reach: int) -> None:
        super().__init__()
        count = buckets if causal else buckets // 2
        near = count // 2
        self.causal = causal
        self.count = count
        self.near = near
        self.span = math.log(reach / near)

    def forward(self, x: Tensor) -> Tensor:
        ahead = torch.arange(x.shape[1], device=x.device) - torch.arange(
            x.shape[1], device=x.device
        ).unsqueeze(1)
        distance = torch.clamp(-ahead, min=0) if self.causal else torch.abs(ahead)
        far = self.near + (torch.log(distance / self.near) / self.span * (self.count - self.near)).long()
        bucket = torch.where(distance < self.near, distance, far.clamp(max=self.count - 1))
        return bucket if self.causal else bucket + self.count * (ahead > 0).long()


class Attend(nn.Module):
    """Each head has its part of the queries. `mask` is true where a key is seen, or is added to scores."""

    def __init__(self, heads: int, rate: float = 0, causal: bool = False, scale: float | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.rate = rate
        self.causal = causal
        self.scale = scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        q = torch.unflatten(q, 2, (self.heads, -1)).transpose(1, 2)
        k = torch.unflatten(k, 2, (self.heads, -1)).transpose(1, 2)
        v = torch.unflatten(v, 2, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(
            q, k, v, mask, self.rate if self.training else 0.0, is_causal=self.causal, scale=self.scale
        )
        return y.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """To `memory`, where `seen` is true; the first one makes a bias by distance of that, for all others."""

    def __init__(
        self,
        causal: bool = False,
        first: bool = False,
        *,
        dim: int,
        heads: int,
        head_dim: int,
        buckets: int,
        reach: int,
        rate: float,
    ) -> None:
        super().__init__()
        self.first = first
        self.dim = dim
        self.head_dim = head_dim
        self.q = nn.Linear(dim, heads * head_dim, bias=False)
        self.k = nn.Linear(dim, heads * head_dim, bias=False)
        self.v = nn.Linear(dim, heads * head_dim, bias=False)
        self.o = nn.Linear(heads * head_dim, dim, bias=False)
        if first:
            self.relative_attention_bias = nn.Embedding(buckets, heads)
            self.bucket = Buckets(causal, buckets=buckets, reach=reach)
        self.attend = Attend(heads, rate, scale=1.0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.q.weight, std=(self.dim * self.head_dim) ** -0.5)
        nn.init.normal_(self.k.weight, std=self.k.in_features**-0.5)
        nn.init.normal_(self.v.weight, std=self.v.in_features**-0.5)
        nn.init.normal_(self.o.weight, std=self.o.in_features**-0.5)
        if self.first:
            nn.init.normal_(self.relative_attention_bias.weight, std=self.dim**-0.5)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        if self.first:
            seen = (
                self.relative_attention_bias(self.bucket(x))
                .permute(2, 0, 1)
                .unsqueeze(0)
                .masked_fill(~seen, -torch.inf)
            )
        return self.o(self.attend(self.q(x), self.k(memory), self.v(memory), seen)), seen


class SelfLayer(nn.Module):
    def __init__(
        self,
        causal: bool,
        first: bool,
        *,
        dim: int,
        heads: int,
        head_dim: int,
        buckets: int,
        reach: int,
        rate: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.SelfAttention = Attention(
            causal, first, dim=dim, heads=heads, head_dim=head_dim, buckets=buckets, reach=reach, rate=rate
        )
        self.layer_norm = nn.RMSNorm(dim, eps=eps)
        self.dropout = nn.Dropout(rate)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        y = self.layer_norm(x)
        y, seen = self.SelfAttention(y, y, seen)
        return x + self.dropout(y), seen


class FeedForward(nn.Module):
    def __init__(self, *, dim: int, hidden: int, rate: float, eps: float) -> None:
        super().__init__()
        self.DenseReluDense = nn.Sequential()
        self.DenseReluDense.add_module("wi", nn.Linear(dim, hidden, bias=False))
        self.DenseReluDense.append(nn.ReLU())
        self.DenseReluDense.append(nn.Dropout(rate))
        self.DenseReluDense.add_module("wo", nn.Linear(hidden, dim, bias=False))
        self.layer_norm = nn.RMSNorm(dim, eps=eps)
        self.dropout = nn.Dropout(rate)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        weight = self.get_parameter("DenseReluDense.wi.weight")
        nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        weight = self.get_parameter("DenseReluDense.wo.weight")
        nn.init.normal_(weight, std=weight[0].numel() ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.DenseReluDense(self.layer_norm(x)))
        return x


class EncoderBlock(nn.Module):
    def __init__(
        self,
        first: bool,
        *,
        dim: int,
        heads: int,
        head_dim: int,
        hidden: int,
        buckets: int,
        reach: int,
        rate: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [
                SelfLayer(
                    False,
                    first,
                    dim=dim,
                    heads=heads,
                    head_dim=head_dim,
                    buckets=buckets,
                    reach=reach,
                    rate=rate,
                    eps=eps,
                ),
                FeedForward(dim=dim, hidden=hidden, rate=rate, eps=eps),
            ]
        )

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        x, seen = self.layer[0](x, seen)
        return self.layer[1](x), seen


class Stack(nn.Module):
    def __init__(
        self,
        *,
        block: Callable[..., nn.Module],
        vocab: int,
        dim: int,
        depth: int,
        heads: int,
        head_dim: int,
        hidden: int,
        buckets: int,
        reach: int,
        rate: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, dim)
        self.block = nn.ModuleList(
            [
                block(
                    first=index == 0,
                    dim=dim,
                    heads=heads,
                    head_dim=head_dim,
                    hidden=hidden,
                    buckets=buckets,
                    reach=reach,
                    rate=rate,
                    eps=eps,
                )
                for index in range(depth)
            ]
        )
        self.final_layer_norm = nn.RMSNorm(dim, eps=eps)
        self.dropout = nn.Dropout(rate)

    def forward(
        self, tokens: Tensor, seen: Tensor, memory: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        x = self.dropout(self.embed_tokens(tokens))
        for each in self.block:
            x, seen = each(x, seen) if memory is None else each(x, seen, memory, mask)
        output: Tensor = self.dropout(self.final_layer_norm(x))
        return output


class CrossLayer(nn.Module):
    def __init__(
        self, *, dim: int, heads: int, head_dim: int, buckets: int, reach: int, rate: float, eps: float
    ) -> None:
        super().__init__()
        self.EncDecAttention = Attention(
            dim=dim, heads=heads, head_dim=head_dim, buckets=buckets, reach=reach, rate=rate
        )
        self.layer_norm = nn.RMSNorm(dim, eps=eps)
        self.dropout = nn.Dropout(rate)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        y, _ = self.EncDecAttention(self.layer_norm(x), memory, seen)
        x = x + self.dropout(y)
        return x


class DecoderBlock(nn.Module):
    def __init__(
        self,
        first: bool,
        *,
        dim: int,
        heads: int,
        head_dim: int,
        hidden: int,
        buckets: int,
        reach: int,
        rate: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [
                SelfLayer(
                    True,
                    first,
                    dim=dim,
                    heads=heads,
                    head_dim=head_dim,
                    buckets=buckets,
                    reach=reach,
                    rate=rate,
                    eps=eps,
                ),
                CrossLayer(
                    dim=dim, heads=heads, head_dim=head_dim, buckets=buckets, reach=reach, rate=rate, eps=eps
                ),
                FeedForward(dim=dim, hidden=hidden, rate=rate, eps=eps),
            ]
        )

    def forward(self, x: Tensor, seen: Tensor, memory: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x, seen = self.layer[0](x, seen)
        return self.layer[2](self.layer[1](x, memory, mask)), seen


class T5(nn.Module):
    def __init__(
        self,
        vocab: int = 32128,
        dim: int = 512,
        depth: int = 6,
        heads: int = 8,
        head_dim: int = 64,
        hidden: int = 2048,
        buckets: int = 32,
        reach: int = 128,
        rate: float = 0.1,
        eps: float = 1e-06,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.shared = nn.Embedding(vocab, dim)
        self.encoder = Stack(
            block=EncoderBlock,
            vocab=vocab,
            dim=dim,
            depth=depth,
            heads=heads,
            head_dim=head_dim,
            hidden=hidden,
            buckets=buckets,
            reach=reach,
            rate=rate,
            eps=eps,
        )
        self.decoder = Stack(
            block=DecoderBlock,
            vocab=vocab,
            dim=dim,
            depth=depth,
            heads=heads,
            head_dim=head_dim,
            hidden=hidden,
            buckets=buckets,
            reach=reach,
            rate=rate,
            eps=eps,
        )
        self.lm_head = nn.Linear(dim, vocab, bias=False)
        self.encoder.embed_tokens.weight = self.shared.weight
        self.decoder.embed_tokens.weight = self.shared.weight
        self.lm_head.weight = self.shared.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.shared.weight, std=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(vocab=100, dim=32, depth=2, heads=4, head_dim=6, hidden=48, buckets=8, reach=12)

    @classmethod
    def t5_base(cls) -> Self:
        return cls(dim=768, depth=12, heads=12, hidden=3072)

    @classmethod
    def t5_large(cls) -> Self:
        return cls(dim=1024, depth=24, heads=16, hidden=4096)

    @classmethod
    def t5_3b(cls) -> Self:
        return cls(dim=1024, depth=24, heads=32, head_dim=128, hidden=16384)

    @classmethod
    def t5_11b(cls) -> Self:
        return cls(dim=1024, depth=24, heads=128, head_dim=128, hidden=65536)

    def forward(self, tokens: Tensor, seen: Tensor, targets: Tensor) -> Tensor:
        mask = seen.bool()[:, None, None]
        past = torch.arange(targets.shape[1], device=tokens.device) <= torch.arange(
            targets.shape[1], device=tokens.device
        ).unsqueeze(1)
        x = self.decoder(targets, past, self.encoder(tokens, mask), mask)
        output: Tensor = self.lm_head(x * self.dim**-0.5)
        return output
