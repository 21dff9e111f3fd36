"""The entries of the zoo whose reference is torchvision, with untrained weights: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from parity import Entry, tensors
from references import torchvision
from torch import Tensor, nn


def model(name: str, **settings: Any) -> nn.Module:
    """Return a model of torchvision by the name of its function."""
    made: nn.Module = getattr(torchvision().models, name)(weights=None, **settings)
    return made


def call(reference: nn.Module, *inputs: Tensor) -> Sequence[Tensor]:
    return tensors(reference(*inputs))


def images(size: int) -> tuple[Tensor]:
    return (torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)),)


def entry(
    spec: str,
    small: Callable[[], nn.Module],
    full: Mapping[str, str],
    size: int = 64,
    settings: Mapping[str, Any] | None = None,
) -> Entry:
    """Return an entry whose full sizes are functions of torchvision by name."""
    makers = {preset: partial(model, name) for preset, name in full.items()}
    return Entry(spec, small, partial(images, size), call, makers, settings or {})


def resnet(block: str, depths: Sequence[int], **settings: int) -> nn.Module:
    family = torchvision().models.resnet
    made: nn.Module = family.ResNet(getattr(family, block), list(depths), num_classes=10, **settings)
    return made


SIZES = {"": "resnet50", "resnet101": "resnet101", "resnet152": "resnet152"}
BASIC = {"resnet18": "resnet18", "resnet34": "resnet34"}

ENTRIES: tuple[Entry, ...] = (
    entry("resnet", partial(resnet, "Bottleneck", [1, 2, 1, 1]), SIZES, settings={"base": 64}),
    entry(
        "resnet",
        partial(resnet, "BasicBlock", [1, 2, 1, 1]),
        BASIC,
        settings={"base": 64, "bottleneck": False},
    ),
    entry(
        "resnet",
        partial(resnet, "Bottleneck", [1, 2, 1, 1], groups=4, width_per_group=8),
        {"resnext50": "resnext50_32x4d"},
        settings={"base": 64, "groups": 4, "group_width": 8},
    ),
)
