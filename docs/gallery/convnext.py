from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Permute(nn.Module):
    def __init__(self, dims: list[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return torch.permute(x, self.dims)


class ChannelNorm(nn.Module):
    def __init__(self, *, weight_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(weight_size))
        self.bias = nn.Parameter(torch.zeros(weight_size))

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), [x.shape[1]], self.weight, self.bias, 1e-06)
        return y.permute(0, 3, 1, 2)


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


class Residual(nn.Module):
    def __init__(self, dim: int, rate: float, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.layer_scale = nn.Parameter(torch.zeros(dim, 1, 1))
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            nn.LayerNorm(dim, eps=1e-06),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.stochastic_depth = StochasticDepth(rate)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.layer_scale, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.layer_scale * self.block(x))
        return x


class Stage(nn.Sequential):
    def __init__(
        self, number: int, *, depths: Sequence[int], widths: Sequence[int], drop: float, scale: float
    ) -> None:
        super().__init__(
            *[
                Residual(
                    widths[number], drop * (sum(depths[:number]) + index) / (sum(depths) - 1), scale=scale
                )
                for index in range(depths[number])
            ]
        )


class Narrow(nn.Sequential):
    def __init__(self, dim: int, *, weight_size: int) -> None:
        super().__init__(ChannelNorm(weight_size=weight_size), nn.Conv2d(weight_size, dim, 2, stride=2))


class ConvNeXt(nn.Sequential):
    def __init__(
        self,
        depths: Sequence[int] = (3, 3, 9, 3),
        widths: Sequence[int] = (96, 192, 384, 768),
        drop: float = 0.1,
        scale: float = 1e-06,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(weight_size=widths[0]))
        ]
        for index, width in enumerate(widths):
            if index > 0:
                features.append(Narrow(width, weight_size=widths[index - 1]))
            features.append(Stage(index, depths=depths, widths=widths, drop=drop, scale=scale))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            ChannelNorm(weight_size=widths[-1]), nn.Flatten(), nn.Linear(widths[-1], classes)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    @classmethod
    def tiny(cls) -> Self:
        return cls(depths=(1, 2, 1, 1), widths=(8, 12, 16, 24), classes=10)

    @classmethod
    def small(cls) -> Self:
        return cls(depths=(3, 3, 27, 3), drop=0.4)

    @classmethod
    def base(cls) -> Self:
        return cls(depths=(3, 3, 27, 3), widths=(128, 256, 512, 1024), drop=0.5)

    @classmethod
    def large(cls) -> Self:
        return cls(depths=(3, 3, 27, 3), widths=(192, 384, 768, 1536), drop=0.5)
