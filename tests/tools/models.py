"""Two models, each from a spec and written by hand with the same values: what tools of PyTorch are tried on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

import compiler
import runtime

IMAGES = """\
spec: 1
inputs: {image: "float[batch, 3, 8, 8]"}
blocks:
  Unit(channels):
    layers:
      conv: Conv2d(channels, 3, padding=1, bias=False)
      norm: BatchNorm2d
    forward: |
      return relu(norm(conv(x)) + x)
model:
  layers:
    stem: Conv2d(4, 3, padding=1)
    units: {repeat: 2, of: Unit(4)}
    head: Linear(5)
  forward: |
    y = units(stem(image))
    if y.shape[2] > 4:
      y = y + y.mean()
    return head(y.mean(dim=[2, 3]))
"""
WORDS = """\
spec: 1
inputs: {tokens: "int64[batch, time]"}
blocks:
  Layer:
    layers: {norm: LayerNorm, up: Linear(16), down: Linear(8)}
    forward: |
      return x + down(gelu(up(norm(x))))
model:
  - embedding: Embedding(20, 8)
  - layers: {repeat: 2, of: Layer}
  - final: LayerNorm
  - head: Linear(20, bias=False)
share: {words: [embedding.weight, head.weight]}
freeze: [final]
"""


class Unit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.units = nn.Sequential(Unit(), Unit())
        self.head = nn.Linear(4, 5)

    def forward(self, image: Tensor) -> Tensor:
        y = self.units(self.stem(image))
        if y.shape[2] > 4:
            y = y + y.mean()
        return self.head(y.mean(dim=[2, 3]))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.layers = nn.Sequential(Layer(), Layer())
        self.final = nn.LayerNorm(8).requires_grad_(False)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.final(self.layers(self.embedding(tokens))))


@dataclass(frozen=True)
class Subject:
    """A model with an input for it. `other` has the same class and other values."""

    model: nn.Module
    other: nn.Module
    x: Tensor
    linear: tuple[str, ...]
    """The names of some layers with a `weight` of two dimensions."""

    @property
    def expected(self) -> Tensor:
        with torch.no_grad():
            found: Tensor = copy.deepcopy(self.model)(self.x)
        return found


def image() -> Tensor:
    return torch.linspace(-1, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)


def tokens() -> Tensor:
    return torch.arange(10).reshape(2, 5)


MODELS: dict[str, tuple[str, type[nn.Module], Callable[[], Tensor], tuple[str, ...]]] = {
    "images": (IMAGES, Images, image, ("head",)),
    "words": (WORDS, Words, tokens, ("up", "down")),
}


@cache
def _artifact(name: str) -> compiler.Artifact:
    return compiler.compile_text(MODELS[name][0], name=f"{name}.yaml")


def built(name: str) -> Subject:
    """Return a model that is built from its spec."""
    _, _, given, linear = MODELS[name]
    first, second = (runtime.build(_artifact(name), seed=seed, device="cpu").eval() for seed in (0, 1))
    return Subject(first, second, given(), linear)


def by_hand(name: str) -> Subject:
    """Return the same model as one writes it, with the same values."""
    subject, cls = built(name), MODELS[name][1]
    twins = []
    for model in (subject.model, subject.other):
        twin = cls().eval()
        twin.load_state_dict(model.state_dict())
        twins.append(twin)
    return Subject(twins[0], twins[1], subject.x, subject.linear)
