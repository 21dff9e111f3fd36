"""Instances of one class are one block: with arguments, conditions, stacks as long as an argument says, formulas."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.runtime.importing.test_modules import imported, model_of


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int = 1, drop: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, planes, 3, stride=stride, padding=1)
        self.downsample = None
        if stride > 1 or inputs != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, planes, 1, stride=stride), nn.BatchNorm2d(planes)
            )
        self.drop = nn.Dropout(drop) if drop else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.drop(self.conv(x))
        if self.downsample is not None:
            shortcut = self.downsample(shortcut)
        return (x + shortcut).relu()


class Stage(nn.Module):
    def __init__(self, inputs: int, planes: int, depth: int, drop: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *[Bottleneck(planes if i else inputs, planes, 1 if i else 2, drop) for i in range(depth)]
        )
        self.norm = nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.blocks(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(Stage(3, 4, 1), Stage(4, 8, 3, 0.5), Stage(8, 6, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x).mean((2, 3))


def test_what_only_some_instances_have_stands_under_a_condition() -> None:
    made = imported(Net(), torch.randn(2, 3, 16, 16))
    assert (
        model_of(made)
        == """\
blocks:
  Bottleneck(planes, stride=1, with_downsample=False, with_drop=False):
    layers:
      conv: Conv2d(planes, 3, stride=stride, padding=1)
      downsample: {if: with_downsample, then: ["Conv2d(planes, 1, stride=stride)", BatchNorm2d]}
      drop: {if: with_drop, then: Dropout}
    forward: |
      shortcut = x
      x = drop(conv(x))
      return (x + downsample(shortcut)).relu()

  Stage(planes, rest, with_drop=False):
    layers:
      blocks:
        - Bottleneck(planes, 2, True, with_drop)
        - {repeat: rest, of: "Bottleneck(planes, with_drop=with_drop)"}
      norm: BatchNorm2d
    forward: |
      return norm(blocks(x))

model:
  layers:
    stages: ["Stage(4, 0)", "Stage(8, 2, True)", "Stage(6, 1)"]
  forward: |
    return stages(x).mean((2, 3))"""
    )


class Scaled(nn.Module):
    def __init__(self, heads: int, head_dim: int, rate: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.head_dim = head_dim
        self.scale = self.head_dim**-0.5
        self.lin = nn.Linear(8, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.lin(x).unflatten(-1, (self.heads, self.head_dim)) * self.scale
        if self.training:
            y = y * (torch.rand_like(y) > self.rate)
        y = y.softmax(-1).flatten(-2)
        return self.out(y) + x


def test_formulas_rows_and_modes() -> None:
    net = nn.Sequential(*[Scaled(2 + i % 2, 4, 0.1 * i / 7) for i in range(8)])
    made = imported(net, torch.randn(2, 8))
    assert (
        model_of(made)
        == """\
blocks:
  Scaled(heads, rate):
    vars: {head_dim: 4, scale: head_dim ** -0.5}
    layers:
      lin: Linear(heads * head_dim)
      out: Linear(8)
    forward: |
      y = lin(x).unflatten(-1, (heads, head_dim)) * scale
      if training:
        y = y * (rand_like(y) > rate)
      return out(y.softmax(-1).flatten(-2)) + x

model: {repeat: [2, 3, 2, 3, 2, 3, 2, 3], as: heads, of: "Scaled(heads, 0.1 * index / 7)"}"""
    )


class Renamed(nn.Module):
    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.num_heads, self.size = heads, size
        self.all = self.num_heads * self.size
        self.lin = nn.Linear(8, heads * size)
        self.bias = nn.Linear(2, heads)
        self.out = nn.Linear(heads * size, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.lin(x).view(-1, self.num_heads, self.size) + self.bias(x[:, :2]).unsqueeze(-1)
        return self.out(y.reshape(-1, self.all))


def test_a_formula_is_over_the_arguments_of_the_block() -> None:
    text = imported(nn.Sequential(Renamed(2, 4), Renamed(3, 4)), torch.randn(2, 8)).text
    assert "vars: {size: 4, all: heads * size}" in text


class Deep(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(*[nn.Linear(4, 4) for _ in range(depth)]), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x


def test_copies_in_a_list_of_lists_stay_a_list() -> None:
    net = nn.Sequential(nn.Sequential(*[nn.Linear(4, 4) for _ in range(2)]), Deep(2), Deep(3), nn.ReLU())
    assert (
        model_of(imported(net, torch.randn(2, 4)))
        == """\
blocks:
  Deep(depth):
    layers:
      body: [[{repeat: depth, of: Linear(4)}], ReLU]
    forward: |
      return body(x) + x

model: [[{repeat: 2, of: Linear(4)}], Deep(2), Deep(3), ReLU]"""
    )


class Part(nn.Module):
    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)[:, : self.size].sum(1, keepdim=True)


class Windowed(nn.Module):
    def __init__(self, stride: int, sizes: dict[str, int]) -> None:
        super().__init__()
        self.size = 8
        self.stride = stride
        self.half = self.size // self.stride
        self.first = Part(4, self.half)
        self.second = Part(4, sizes["second"])

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, : self.size].roll(self.half, 1)[:, :: self.stride]
        return x + self.first(x) + self.second(x)


def test_an_argument_of_a_layer_is_no_attribute_of_its_name() -> None:
    module = nn.Sequential(Windowed(1, {"second": 2}), Windowed(2, {"second": 3}))
    text = model_of(imported(module, torch.randn(2, 9, 4)))
    assert "Windowed(second_size, stride):" in text
    assert "vars: {size: 8, half: size // stride}" in text
    assert "first: Part(half)" in text
    assert "second: Part(second_size)" in text
    assert 'model: ["Windowed(2, 1)", "Windowed(3, 2)"]' in text
