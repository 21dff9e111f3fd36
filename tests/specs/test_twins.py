"""The architectures of the zoo against modules written by hand: one state dict goes into and out of both."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import compiler
import runtime

ROOT = Path(__file__).parents[2]


class HandAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, dim = x.shape
        shape = (batch, time, self.heads, dim // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(x).split(dim, dim=2))
        scores = q @ k.transpose(-2, -1) / math.sqrt(dim // self.heads)
        mask = torch.ones(time, time, dtype=torch.bool).tril()
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, time, dim))


class HandMLP(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class HandBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.attn = nn.LayerNorm(dim), HandAttention(dim, heads)
        self.ln2, self.mlp = nn.LayerNorm(dim), HandMLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class HandGpt2(nn.Module):
    def __init__(self, vocab: int, context: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, dim), nn.Embedding(context, dim)
        self.h = nn.ModuleList(HandBlock(dim, heads) for _ in range(depth))
        self.ln_f = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))


class HandBottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if project:
            shortcut = nn.Conv2d(channels, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class HandResnet(nn.Module):
    def __init__(self, depths: list[int], base: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, base, 7, 2, 3, bias=False), nn.BatchNorm2d(base)
        channels = base
        for stage, depth in enumerate(depths):
            width = base * 2**stage
            rows = []
            for index in range(depth):
                stride = 2 if index == 0 and stage > 0 else 1
                rows.append(HandBottleneck(channels, width, stride, project=index == 0))
                channels = 4 * width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*rows))
        self.fc = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def gpt2() -> tuple[nn.Module, nn.Module, Tensor]:
    sizes = {"vocab": 100, "context": 32, "dim": 32, "depth": 2, "heads": 4}
    made = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", set=sizes)
    tokens = torch.randint(0, 100, (2, 16), generator=torch.Generator().manual_seed(0))
    return runtime.build(made, device="cpu"), HandGpt2(**sizes), tokens


def resnet() -> tuple[nn.Module, nn.Module, Tensor]:
    sizes = {"depths": [1, 2, 1, 1], "base": 4, "classes": 10}
    made = compiler.compile(ROOT / "specs/zoo/resnet.yaml", set=sizes)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return runtime.build(made, device="cpu"), HandResnet([1, 2, 1, 1], 4, 10), image


@pytest.mark.parametrize("make", [gpt2, resnet])
def test_twin(make: object) -> None:
    model, twin, inputs = make()  # type: ignore[operator]
    model, twin = model.double(), twin.double()
    if inputs.is_floating_point():
        inputs = inputs.double()
    twin.load_state_dict(model.state_dict(), strict=True)
    model.load_state_dict(twin.state_dict(), strict=True)
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in twin.named_parameters()
    }
    first, second = model(inputs), twin(inputs)
    torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-10)
    first.square().sum().backward()
    second.square().sum().backward()
    others = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, others[name].grad, rtol=1e-8, atol=1e-8)
