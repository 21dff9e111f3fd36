"""The entries of the zoo whose reference is torchvision, with untrained weights: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from tests.zoo.parity import Entry, tensors
from tests.zoo.references import torchvision


def model(name: str, **settings: Any) -> nn.Module:
    """Return a model of torchvision by the name of its function."""
    made: nn.Module = getattr(torchvision().models, name)(weights=None, **settings)
    return made


def call(reference: nn.Module, *inputs: Tensor) -> Sequence[Tensor]:
    return tensors(reference(*inputs))


def images(*size: int) -> tuple[Tensor]:
    return (torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)),)


def entry(
    spec: str,
    small: Callable[[], nn.Module],
    full: Mapping[str, str],
    size: tuple[int, int] = (64, 64),
    settings: Mapping[str, Any] | None = None,
) -> Entry:
    """Return an entry whose full sizes are functions of torchvision by name."""
    makers = {preset: partial(model, name) for preset, name in full.items()}
    return Entry(spec, small, partial(images, *size), call, makers, settings or {})


def resnet(block: str, depths: Sequence[int], **settings: int) -> nn.Module:
    family = torchvision().models.resnet
    made: nn.Module = family.ResNet(getattr(family, block), list(depths), num_classes=10, **settings)
    return made


CLASSES = 10


def narrowed(name: str, by: int = 16, **settings: Any) -> nn.Module:
    """Return a model whose widths are written out in torchvision, with all of them divided."""
    with torch.device("meta"):
        wide = model(name, num_classes=CLASSES, **settings)
    for path, layer in list(wide.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            wide.set_submodule(path, narrow(layer, by))
    return wide


def narrow(layer: nn.Conv2d | nn.BatchNorm2d | nn.Linear, by: int) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        channels = layer.in_channels // by or layer.in_channels
        size: Any = (layer.kernel_size, layer.stride, layer.padding)
        return nn.Conv2d(channels, layer.out_channels // by, *size, bias=layer.bias is not None)
    if isinstance(layer, nn.BatchNorm2d):
        return nn.BatchNorm2d(layer.num_features // by, eps=layer.eps)
    features = layer.out_features
    return nn.Linear(layer.in_features // by, features if features == CLASSES else features // by)


def densenet() -> nn.Module:
    made: nn.Module = torchvision().models.DenseNet(4, (1, 2, 2, 1), 8, num_classes=10)
    return made


STAGES = [[1, 16, 1, 1], [2, 24, 2, 2], [3, 8, 2, 2]]
"""Factor, width, copies and stride. torchvision rounds widths to multiples of 8."""


def mobilenet_v2() -> nn.Module:
    return model("mobilenet_v2", num_classes=10, inverted_residual_setting=STAGES)


def vit() -> nn.Module:
    made: nn.Module = torchvision().models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=128, num_classes=10
    )
    return made


def convnext() -> nn.Module:
    family = torchvision().models.convnext
    rows = [(8, 12, 1), (12, 16, 2), (16, 24, 1), (24, None, 1)]
    stages = [family.CNBlockConfig(*row) for row in rows]
    made: nn.Module = family.ConvNeXt(stages, stochastic_depth_prob=0.1, num_classes=10)
    return made


def mobilenet_v3() -> nn.Module:
    family = torchvision().models.mobilenetv3
    rows = [(16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 1), (24, 5, 96, 24, True, "HS", 1)]
    stages = [family.InvertedResidualConfig(*row, dilation=1, width_mult=1) for row in rows]
    made: nn.Module = family.MobileNetV3(stages, last_channel=32, num_classes=10)
    return made


def efficientnet() -> nn.Module:
    """Widths that are rounded up, and down, and up since down is too far; depths that are rounded up."""
    family = torchvision().models.efficientnet
    rows = [(1, 3, 1, 8, 8, 1), (2, 5, 2, 8, 12, 2), (2, 3, 1, 12, 16, 1)]
    stages = [family.MBConvConfig(*row, width_mult=1.5, depth_mult=1.2) for row in rows]
    made: nn.Module = family.EfficientNet(stages, dropout=0.2, num_classes=10)
    return made


def swin() -> nn.Module:
    made: nn.Module = torchvision().models.SwinTransformer(
        [4, 4], 8, [2, 1, 2], [2, 4, 8], [4, 4], stochastic_depth_prob=0.2, num_classes=10
    )
    return made


def regnet(squeezed: float | None = 0.25) -> nn.Module:
    family = torchvision().models.regnet
    stages = family.BlockParams([1, 2], [16, 24], [8, 8], [1.0, 1.0], [2, 2], squeezed)
    made: nn.Module = family.RegNet(stages, num_classes=10, stem_width=12)
    return made


def full_regnet(name: str) -> nn.Module:
    """Return a model whose widths torchvision computes with tensors: on the CPU, wherever its layers are made."""
    sizes = torchvision().models.regnet.BlockParams
    compute = sizes.from_init_params

    def on_the_cpu(**settings: Any) -> Any:
        with torch.device("cpu"):
            return compute(**settings)

    with patch.object(sizes, "from_init_params", on_the_cpu):
        return model(name)


def regnets(kind: str, *sizes: str) -> dict[str, Callable[[], nn.Module]]:
    made = {f"{kind}_{size}": partial(full_regnet, f"regnet_{kind}_{size}") for size in sizes}
    return {"" if preset == "y_400mf" else preset: make for preset, make in made.items()}


SIZES = {"": "resnet50", "resnet101": "resnet101", "resnet152": "resnet152"}
BASIC = {"resnet18": "resnet18", "resnet34": "resnet34"}

VGG = {f"vgg{depth}{norm}": f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")}
del VGG["vgg16_bn"]  # the file itself

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
    entry("alexnet", partial(narrowed, "alexnet"), {"": "alexnet"}, size=(96, 96)),
    entry("vgg", partial(narrowed, "vgg16_bn"), {"": "vgg16_bn", **VGG}),
    entry("vgg", partial(narrowed, "vgg16"), {}, settings={"normed": False}),
    entry(
        "densenet",
        densenet,
        {
            "": "densenet121",
            "densenet161": "densenet161",
            "densenet169": "densenet169",
            "densenet201": "densenet201",
        },
    ),
    entry("mobilenet_v2", mobilenet_v2, {"": "mobilenet_v2"}),
    entry(
        "vit",
        vit,
        {"": "vit_b_16", "vit_b_32": "vit_b_32", "vit_l_16": "vit_l_16", "vit_l_32": "vit_l_32"},
        size=(32, 32),
    ),
    entry(
        "convnext",
        convnext,
        {
            "": "convnext_tiny",
            "small": "convnext_small",
            "base": "convnext_base",
            "large": "convnext_large",
        },
    ),
    entry("mobilenet_v3", mobilenet_v3, {"": "mobilenet_v3_small", "large": "mobilenet_v3_large"}),
    entry(
        "efficientnet",
        efficientnet,
        {"": "efficientnet_b0", **{f"b{size}": f"efficientnet_b{size}" for size in range(1, 8)}},
    ),
    entry("swin", swin, {"": "swin_t", "small": "swin_s", "base": "swin_b"}, size=(76, 44)),
    Entry("regnet", regnet, partial(images, 32, 32), call, regnets("y", "400mf", "1_6gf", "16gf", "128gf")),
    Entry(
        "regnet",
        partial(regnet, None),
        partial(images, 32, 32),
        call,
        regnets("x", "400mf", "8gf", "32gf"),
        settings={"squeezed": 0},
    ),
    Entry(
        "googlenet",
        partial(narrowed, "googlenet", 8, init_weights=False),
        partial(images, 64, 64),
        call,
        {"": partial(model, "googlenet", init_weights=False)},
    ),
)
