"""Architectures of later years, as one writes them by hand in PyTorch: what the specs are held against."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# MLP-Mixer (Tolstikhin et al., 2021).


class MixerMLP(nn.Module):
    def __init__(self, width: int, hidden: int, rate: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


class MixerBlock(nn.Module):
    def __init__(self, dim: int, patches: int, token_hidden: int, channel_hidden: int, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp_tokens = MixerMLP(patches, token_hidden, rate)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp_channels = MixerMLP(dim, channel_hidden, rate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class MlpMixer(nn.Module):
    def __init__(
        self,
        size: int = 224,
        patch: int = 16,
        dim: int = 768,
        depth: int = 12,
        token_hidden: int = 384,
        channel_hidden: int = 3072,
        rate: float = 0.0,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        patches = (size // patch) ** 2
        self.stem = nn.Conv2d(3, dim, patch, stride=patch)
        self.blocks = nn.Sequential(
            *(MixerBlock(dim, patches, token_hidden, channel_hidden, rate) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


# Diffusion (Ho et al., 2020).


class TimeEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, 4 * dim)

    def forward(self, time: Tensor) -> Tensor:
        half = self.dim // 2
        rates = 1e4 ** (-torch.arange(half) / (half - 1))
        angles = time[:, None] * rates
        waves = torch.cat([angles.sin(), angles.cos()], dim=1).to(self.fc1.weight.dtype)
        return self.fc2(F.silu(self.fc1(waves)))


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, time: int, groups: int, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.drop = nn.Dropout(rate)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = y + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv2(self.drop(F.silu(self.norm2(y))))


class PixelAttention(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)
        seen = torch.softmax(q.transpose(1, 2) @ k / q.shape[1] ** 0.5, dim=-1)
        return x + self.proj((v @ seen.transpose(1, 2)).view(x.shape))


class DiffusionLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, time: int, groups: int, rate: float, attends: bool) -> None:
        super().__init__()
        self.res = ResidualBlock(inputs, outputs, time, groups, rate)
        self.attn = PixelAttention(outputs, groups) if attends else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.attn(self.res(x, time))


class Down(nn.Module):
    def __init__(self, inputs: int, outputs: int, depth: int, smaller: bool, **settings: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DiffusionLayer(outputs if at else inputs, outputs, **settings) for at in range(depth)
        )
        self.smaller = nn.Conv2d(outputs, outputs, 3, stride=2, padding=1) if smaller else None

    def forward(self, x: Tensor, time: Tensor, seen: list[Tensor]) -> Tensor:
        for layer in self.layers:
            x = layer(x, time)
            seen.append(x)
        if self.smaller is not None:
            x = self.smaller(x)
            seen.append(x)
        return x


class Up(nn.Module):
    def __init__(self, inputs: Sequence[int], outputs: int, larger: bool, **settings: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DiffusionLayer(each, outputs, **settings) for each in inputs)
        self.larger = nn.Conv2d(outputs, outputs, 3, padding=1) if larger else None

    def forward(self, x: Tensor, time: Tensor, seen: list[Tensor]) -> Tensor:
        for layer in self.layers:
            x = layer(torch.cat([x, seen.pop()], dim=1), time)
        return x if self.larger is None else self.larger(F.interpolate(x, scale_factor=2.0))


class DiffusionUNet(nn.Module):
    def __init__(
        self,
        size: int = 32,
        width: int = 128,
        factors: Sequence[int] = (1, 2, 2, 2),
        depth: int = 2,
        attended: int = 16,
        groups: int = 32,
        rate: float = 0.1,
    ) -> None:
        super().__init__()
        widths = [width * factor for factor in factors]
        settings: dict[str, Any] = {"time": 4 * width, "groups": groups, "rate": rate}
        self.embedding = TimeEmbedding(width)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = [width]
        for level, outputs in enumerate(widths):
            smaller, attends = level < len(widths) - 1, size // 2**level == attended
            self.down.append(Down(skips[-1], outputs, depth, smaller, attends=attends, **settings))
            skips += [outputs] * (depth + smaller)
        middle = partial(DiffusionLayer, widths[-1], widths[-1], **settings)
        self.middle = nn.ModuleList([middle(attends=True), middle(attends=False)])
        before = widths[-1]
        for level, outputs in reversed([*enumerate(widths)]):
            inputs = [(outputs if at else before) + skips.pop() for at in range(depth + 1)]
            attends = size // 2**level == attended
            self.up.append(Up(inputs, outputs, level > 0, attends=attends, **settings))
            before = outputs
        self.norm = nn.GroupNorm(groups, widths[0])
        self.last = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, image: Tensor, time: Tensor) -> Tensor:
        t = self.embedding(time)
        x = self.first(image)
        seen = [x]
        for each in self.down:
            x = each(x, t, seen)
        for each in self.middle:
            x = each(x, t)
        for each in self.up:
            x = each(x, t, seen)
        return self.last(F.silu(self.norm(x)))
