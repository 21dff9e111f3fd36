from collections.abc import Sequence
from typing import Self

from torch import nn


class VGG(nn.Sequential):
    def __init__(
        self,
        depths: Sequence[int] = (2, 2, 3, 3, 3),
        base: int = 64,
        normed: bool = True,
        hidden: int = 4096,
        classes: int = 1000,
        drop: float = 0.5,
    ) -> None:
        super().__init__()
        widths = [base * min(2**i, 8) for i in range(len(depths))]
        features: list[nn.Module] = []
        in_channels = 3
        for width, depth in zip(widths, depths, strict=True):
            for _ in range(depth):
                features.append(nn.Conv2d(in_channels, width, 3, padding=1))
                if normed:
                    features.append(nn.BatchNorm2d(width))
                features.append(nn.ReLU())
                in_channels = width
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(49 * in_channels, hidden),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Linear(hidden, classes),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    @classmethod
    def tiny(cls) -> Self:
        return cls(base=4, hidden=256, classes=10)

    @classmethod
    def vgg11_bn(cls) -> Self:
        return cls(depths=(1, 1, 2, 2, 2))

    @classmethod
    def vgg13_bn(cls) -> Self:
        return cls(depths=(2, 2, 2, 2, 2))

    @classmethod
    def vgg19_bn(cls) -> Self:
        return cls(depths=(2, 2, 4, 4, 4))

    @classmethod
    def vgg11(cls) -> Self:
        return cls(depths=(1, 1, 2, 2, 2), normed=False)

    @classmethod
    def vgg13(cls) -> Self:
        return cls(depths=(2, 2, 2, 2, 2), normed=False)

    @classmethod
    def vgg16(cls) -> Self:
        return cls(normed=False)

    @classmethod
    def vgg19(cls) -> Self:
        return cls(depths=(2, 2, 4, 4, 4), normed=False)
