from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def make_relative_position_index(window: int) -> Tensor:
    apart = torch.arange(window).unsqueeze(1) - torch.arange(window) + window - 1
    rows, columns = apart[:, None, :, None], apart[None, :, None]
    return (rows * (2 * window - 1) + columns).flatten()


class Permute(nn.Module):
    def __init__(self, dims: list[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return torch.permute(x, self.dims)


class Attention(nn.Module):
    relative_position_index: Tensor

    def __init__(self, dim: int, shift: int, *, head_dim: int, window: int) -> None:
        super().__init__()
        self.shift = shift
        self.head_dim = head_dim
        self.window = window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, dim // head_dim))
        self.register_buffer("relative_position_index", make_relative_position_index(window))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        x = F.pad(x, [0, 0, 0, -width % self.window, 0, -height % self.window])
        _, rows, columns, _ = x.shape
        bias = torch.unflatten(
            self.relative_position_bias_table[self.relative_position_index], 0, (self.window**2, -1)
        ).permute(2, 0, 1)
        down, right = self.shift * (rows > self.window), self.shift * (columns > self.window)
        if self.shift > 0:
            over = 2 * (torch.arange(rows, device=x.device) >= rows - down).unsqueeze(1) + (
                torch.arange(columns, device=x.device) >= columns - right
            )
            over = rearrange(over, "(r p) (c q) -> (r c) 1 (p q)", p=self.window, q=self.window)
            bias = bias - 100 * (over.unsqueeze(2) != over.unsqueeze(3))
        x = self.qkv(torch.roll(x, [-down, -right], [1, 2]))
        q, k, v = rearrange(
            x,
            "b (r p) (c q) (n h d) -> n b (r c) h (p q) d",
            n=3,
            p=self.window,
            q=self.window,
            d=self.head_dim,
        )
        y = F.scaled_dot_product_attention(q, k, v, bias)
        y = rearrange(y, "b (r c) h (p q) d -> b (r p) (c q) (h d)", r=rows // self.window, p=self.window)
        x = self.proj(torch.roll(y, [down, right], [1, 2])[:, :height, :width])
        return x


class StochasticDepth(nn.Module):
    """In training, drops the whole value of a sample with the probability `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.rate > 0:
            kept = torch.bernoulli(
                torch.full([x.shape[0], 1, 1, 1], 1 - self.rate, dtype=x.dtype, device=x.device)
            )
            return x * (kept / (1 - self.rate))
        return x


class Layer(nn.Module):
    def __init__(self, dim: int, shift: int, rate: float, *, head_dim: int, window: int, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, shift, head_dim=head_dim, window=window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(drop), nn.Linear(4 * dim, dim), nn.Dropout(drop)
        )
        self.stochastic_depth = StochasticDepth(rate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        x = x + self.stochastic_depth(self.mlp(self.norm2(x)))
        return x


class Stage(nn.Sequential):
    def __init__(
        self,
        number: int,
        *,
        depths: Sequence[int],
        dim: int,
        head_dim: int,
        window: int,
        drop: float,
        drop_path: float,
    ) -> None:
        super().__init__(
            *[
                Layer(
                    dim * 2**number,
                    index % 2 * (window // 2),
                    drop_path * (sum(depths[:number]) + index) / (sum(depths) - 1),
                    head_dim=head_dim,
                    window=window,
                    drop=drop,
                )
                for index in range(depths[number])
            ]
        )


class Merge(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * dim)
        self.reduction = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, [0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2])
        x = self.reduction(self.norm(rearrange(x, "b (h p) (w q) d -> b h w (q p d)", p=2, q=2)))
        return x


class SwinTransformer(nn.Sequential):
    def __init__(
        self,
        depths: Sequence[int] = (2, 2, 6, 2),
        dim: int = 96,
        head_dim: int = 32,
        patch: int = 4,
        window: int = 7,
        drop: float = 0.0,
        drop_path: float = 0.2,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(3, dim, patch, stride=patch), Permute([0, 2, 3, 1]), nn.LayerNorm(dim))
        ]
        for index in range(len(depths)):
            if index > 0:
                features.append(Merge(dim * 2**index))
            features.append(
                Stage(
                    index,
                    depths=depths,
                    dim=dim,
                    head_dim=head_dim,
                    window=window,
                    drop=drop,
                    drop_path=drop_path,
                )
            )
        self.features = nn.Sequential(*features)
        self.norm = nn.LayerNorm(dim * 2 ** (len(depths) - 1))
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(dim * 2 ** (len(depths) - 1), classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @classmethod
    def tiny(cls) -> Self:
        return cls(depths=(2, 1, 2), dim=8, head_dim=4, window=4, classes=10)

    @classmethod
    def small(cls) -> Self:
        return cls(depths=(2, 2, 18, 2), drop_path=0.3)

    @classmethod
    def base(cls) -> Self:
        return cls(depths=(2, 2, 18, 2), dim=128, drop_path=0.5)
