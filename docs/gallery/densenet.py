from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseLayer(nn.Module):
    def __init__(self, *, num_features: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_features)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(num_features, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return torch.cat([x, y], dim=1)


class Transition(nn.Sequential):
    def __init__(self, width: int, *, num_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(num_features, width, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


class DenseNet(nn.Module):
    def __init__(
        self,
        growth: int = 32,
        depths: Sequence[int] = (6, 12, 24, 16),
        base: int = 64,
        bottleneck: int = 4,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(base))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        channels = 2 * base
        for stage, depth in enumerate(depths):
            if stage > 0:
                self.features.add_module(
                    f"transition{stage}", Transition(channels // 2, num_features=channels)
                )
            layers = nn.Sequential()
            for index in range(depth):
                layers.add_module(
                    f"denselayer{index + 1}",
                    DenseLayer(
                        num_features=channels // 2 + index * growth, growth=growth, bottleneck=bottleneck
                    ),
                )
            self.features.add_module(f"denseblock{stage + 1}", layers)
            channels = channels // 2 + depth * growth
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    @classmethod
    def tiny(cls) -> Self:
        return cls(growth=4, depths=(1, 2, 2, 1), base=8, classes=10)

    @classmethod
    def densenet161(cls) -> Self:
        return cls(growth=48, depths=(6, 12, 36, 24), base=96)

    @classmethod
    def densenet169(cls) -> Self:
        return cls(depths=(6, 12, 32, 32))

    @classmethod
    def densenet201(cls) -> Self:
        return cls(depths=(6, 12, 48, 32))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.features(image))
        output: Tensor = self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return output
