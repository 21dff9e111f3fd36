import math
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_divisible(value: float, divisor: int) -> int:
    """Round to a multiple of the divisor, and down by 10 % at most."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class ConvNorm(nn.Sequential):
    def __init__(
        self,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        in_channels: int,
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(width, eps=eps, momentum=momentum),
            nn.SiLU(),
        )


class SqueezeExcitation(nn.Module):
    """Each channel is scaled by what all channels say, on average over the image."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.activation = nn.SiLU()
        self.fc2 = nn.Conv2d(squeezed, width, 1)
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc1(F.adaptive_avg_pool2d(x, 1))
        x = x * self.scale_activation(self.fc2(self.activation(y)))
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


class Inverted(nn.Module):
    """Widens, convolves each channel by itself, scales the channels unless `squeezed` is 0, and narrows."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        width: int,
        kernel: int,
        stride: int,
        squeezed: int = 0,
        rate: float = 0,
        *,
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__()
        residual = stride == 1 and channels == width
        self.residual = residual
        block: list[nn.Module] = []
        if hidden != channels:
            block.append(ConvNorm(hidden, in_channels=channels, eps=eps, momentum=momentum))
        block.append(ConvNorm(hidden, kernel, stride, hidden, in_channels=hidden, eps=eps, momentum=momentum))
        if squeezed > 0:
            block.append(SqueezeExcitation(hidden, squeezed))
        block.append(
            nn.Sequential(
                nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width, eps=eps, momentum=momentum)
            )
        )
        self.block = nn.Sequential(*block)
        self.stochastic_depth = StochasticDepth(rate if residual else 0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stochastic_depth(self.block(x))
        x = x + y if self.residual else y
        return x


class EfficientNet(nn.Module):
    def __init__(
        self,
        channels: Sequence[int] = (32, 16, 24, 40, 80, 112, 192, 320),
        stages: Sequence[Sequence[int]] = (
            (1, 3, 1),
            (6, 3, 2),
            (6, 5, 2),
            (6, 3, 2),
            (6, 5, 1),
            (6, 5, 2),
            (6, 3, 1),
        ),
        depths: Sequence[int] = (1, 2, 2, 3, 3, 4, 1),
        wider: float = 1.0,
        deeper: float = 1.0,
        eps: float = 1e-05,
        momentum: float = 0.1,
        drop: float = 0.2,
        drop_path: float = 0.2,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        widths = [make_divisible(wider * c, 8) for c in channels]
        copies = [math.ceil(deeper * depth) for depth in depths]
        self.classes = classes
        features: list[nn.Module] = [ConvNorm(widths[0], 3, 2, in_channels=3, eps=eps, momentum=momentum)]
        first = 0
        for stage, (expansion, kernel, stride) in enumerate(stages):
            layers: list[nn.Module] = []
            narrow = widths[stage]
            for index in range(copies[stage]):
                layers.append(
                    Inverted(
                        narrow,
                        expansion * narrow,
                        widths[stage + 1],
                        kernel,
                        stride if index == 0 else 1,
                        narrow // 4,
                        drop_path * (first + index) / sum(copies),
                        eps=eps,
                        momentum=momentum,
                    )
                )
                narrow = widths[stage + 1]
            features.append(nn.Sequential(*layers))
            first = first + copies[stage]
        features.append(ConvNorm(4 * widths[-1], in_channels=widths[-1], eps=eps, momentum=momentum))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(drop), nn.Linear(4 * widths[-1], classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.uniform_(module.weight, -1 / math.sqrt(self.classes), 1 / math.sqrt(self.classes))
                nn.init.zeros_(module.bias)

    @classmethod
    def tiny(cls) -> Self:
        return cls(
            channels=(8, 8, 12, 16),
            stages=((1, 3, 1), (2, 5, 2), (2, 3, 1)),
            depths=(1, 2, 1),
            wider=1.5,
            deeper=1.2,
            classes=10,
        )

    @classmethod
    def b1(cls) -> Self:
        return cls(deeper=1.1)

    @classmethod
    def b2(cls) -> Self:
        return cls(wider=1.1, deeper=1.2, drop=0.3)

    @classmethod
    def b3(cls) -> Self:
        return cls(wider=1.2, deeper=1.4, drop=0.3)

    @classmethod
    def b4(cls) -> Self:
        return cls(wider=1.4, deeper=1.8, drop=0.4)

    @classmethod
    def b5(cls) -> Self:
        return cls(wider=1.6, deeper=2.2, drop=0.4, eps=0.001, momentum=0.01)

    @classmethod
    def b6(cls) -> Self:
        return cls(wider=1.8, deeper=2.6, drop=0.5, eps=0.001, momentum=0.01)

    @classmethod
    def b7(cls) -> Self:
        return cls(wider=2.0, deeper=3.1, drop=0.5, eps=0.001, momentum=0.01)

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.classifier(F.adaptive_avg_pool2d(self.features(image), 1).flatten(1))
        return output
