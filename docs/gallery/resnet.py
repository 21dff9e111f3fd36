from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn


class Shortcut(nn.Sequential):
    def __init__(self, width: int, stride: int, *, in_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


class Bottleneck(nn.Module):
    def __init__(
        self,
        width: int,
        stride: int = 1,
        project: bool = False,
        *,
        in_channels: int,
        base: int,
        groups: int,
        group_width: int,
    ) -> None:
        super().__init__()
        inner = groups * (width * group_width // base)
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = Shortcut(4 * width, stride, in_channels=in_channels) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + self.downsample(x))


class Basic(nn.Module):
    def __init__(self, width: int, stride: int = 1, project: bool = False, *, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = Shortcut(width, stride, in_channels=in_channels) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + self.downsample(x))


class Stage(nn.Sequential):
    def __init__(
        self,
        width: int,
        count: int,
        stride: int = 1,
        *,
        in_channels: int,
        base: int,
        bottleneck: bool,
        groups: int,
        group_width: int,
    ) -> None:
        super().__init__(
            *[
                (
                    Bottleneck(
                        width,
                        stride if index == 0 else 1,
                        project=index == 0,
                        in_channels=in_channels if index == 0 else 4 * width,
                        base=base,
                        groups=groups,
                        group_width=group_width,
                    )
                    if bottleneck
                    else Basic(
                        width,
                        stride if index == 0 else 1,
                        project=stride > 1 and index == 0,
                        in_channels=in_channels if index == 0 else width,
                    )
                )
                for index in range(count)
            ]
        )


class ResNet(nn.Module):
    def __init__(
        self,
        depths: Sequence[int] = (3, 4, 6, 3),
        base: int = 64,
        classes: int = 1000,
        bottleneck: bool = True,
        groups: int = 1,
        group_width: int | None = None,
    ) -> None:
        super().__init__()
        group_width = base if group_width is None else group_width
        self.conv1 = nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = Stage(
            base,
            depths[0],
            in_channels=base,
            base=base,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
        )
        self.layer2 = Stage(
            2 * base,
            depths[1],
            stride=2,
            in_channels=4 * base if bottleneck else base,
            base=base,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
        )
        self.layer3 = Stage(
            4 * base,
            depths[2],
            stride=2,
            in_channels=8 * base if bottleneck else 2 * base,
            base=base,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
        )
        self.layer4 = Stage(
            8 * base,
            depths[3],
            stride=2,
            in_channels=16 * base if bottleneck else 4 * base,
            base=base,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32 * base if bottleneck else 8 * base, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def tiny(cls) -> Self:
        return cls(depths=(1, 2, 1, 1), base=4, classes=10)

    @classmethod
    def resnet18(cls) -> Self:
        return cls(depths=(2, 2, 2, 2), bottleneck=False)

    @classmethod
    def resnet34(cls) -> Self:
        return cls(bottleneck=False)

    @classmethod
    def resnet101(cls) -> Self:
        return cls(depths=(3, 4, 23, 3))

    @classmethod
    def resnet152(cls) -> Self:
        return cls(depths=(3, 8, 36, 3))

    @classmethod
    def resnext50(cls) -> Self:
        return cls(groups=32, group_width=4)

    def forward(self, image: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        output: Tensor = self.fc(self.avgpool(x).flatten(1))
        return output
