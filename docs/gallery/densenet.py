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


class DenseBlock(nn.Sequential):
    def __init__(self, depth: int, *, num_features: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        for index in range(depth):
            self.add_module(
                f"denselayer{index + 1}",
                DenseLayer(num_features=num_features + index * growth, growth=growth, bottleneck=bottleneck),
            )


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
        width1 = (base + depths[0] * growth) // 2
        width2 = (width1 + depths[1] * growth) // 2
        width3 = (width2 + depths[2] * growth) // 2
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(base))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        self.features.add_module(
            "denseblock1", DenseBlock(depths[0], num_features=base, growth=growth, bottleneck=bottleneck)
        )
        self.features.add_module("transition1", Transition(width1, num_features=base + depths[0] * growth))
        self.features.add_module(
            "denseblock2", DenseBlock(depths[1], num_features=width1, growth=growth, bottleneck=bottleneck)
        )
        self.features.add_module("transition2", Transition(width2, num_features=width1 + depths[1] * growth))
        self.features.add_module(
            "denseblock3", DenseBlock(depths[2], num_features=width2, growth=growth, bottleneck=bottleneck)
        )
        self.features.add_module("transition3", Transition(width3, num_features=width2 + depths[2] * growth))
        self.features.add_module(
            "denseblock4", DenseBlock(depths[3], num_features=width3, growth=growth, bottleneck=bottleneck)
        )
        self.features.add_module("norm5", nn.BatchNorm2d(width3 + depths[3] * growth))
        self.classifier = nn.Linear(width3 + depths[3] * growth, classes)
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
