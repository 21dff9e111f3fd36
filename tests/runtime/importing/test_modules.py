"""A live module becomes a spec that a person could have written, and that is the module: tried on modules by hand."""

from __future__ import annotations

import functools
import gc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.importing.imported import Imported, from_module


def imported(module: nn.Module, *inputs: Tensor) -> Imported:
    made = from_module(module, inputs)
    proof = made.report.proof
    assert proof is not None
    assert proof.holds
    assert proof.trained
    return made


def model_of(made: Imported) -> str:
    """Return what a spec says between its inputs and its first values."""
    return made.text[made.text.index("\n\n") + 2 : made.text.rindex("\n\n")]


def test_a_sequence_is_a_list() -> None:
    made = imported(nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)), torch.randn(3, 4))
    assert (
        made.text
        == """\
spec: 1
name: Sequential
inputs:
  input: float[batch, 4]
dims: {batch: 3}

model: [Linear(8), ReLU, Linear(2)]

init:
  - /: checkpoint('weights.safetensors')
"""
    )


class OneGroup(nn.GroupNorm):
    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = OneGroup(4)
        self.register_buffer("scale", torch.tensor(2.0, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        _2x = self.norm(x) * self.scale.type(x.dtype)
        return _2x + _2x.square()


def test_a_class_that_only_makes_a_layer_is_one() -> None:
    text = imported(Grouped(), torch.randn(2, 4)).text
    assert "norm: GroupNorm(1)" in text
    assert "y2x + y2x.square()" in text


@functools.lru_cache
def places(count: int) -> Tensor:
    return torch.arange(count).float()


class Keeping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + places(x.shape[1])


def test_what_a_function_keeps_is_made_again() -> None:
    places(4)
    gc.freeze()
    assert "arange(x.shape[1])" in imported(Keeping(), torch.randn(2, 4)).text
    assert places(4).device.type == "cpu"


class Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = (q * self.scale) @ k.transpose(-2, -1)
        attn = attn.softmax(dim=-1)
        x = (attn @ v).transpose(1, 2).reshape(B, N, C)
        return self.proj(x)


class Layer(nn.Module):
    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 4, stride=4)
        self.cls = nn.Parameter(torch.randn(1, 1, 32))
        self.blocks = nn.ModuleList([Layer(32, 4, 64) for _ in range(3)])
        self.last = Layer(32, 8, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x)[:, 0])


def test_instances_of_a_class_are_one_block_and_words_are_the_authors() -> None:
    made = imported(Transformer(), torch.randn(2, 3, 16, 16))
    assert (
        model_of(made)
        == """\
blocks:
  Attention(num_heads, scale):
    layers:
      qkv: Linear(96)
      proj: Linear(32)
    forward: |
      B, N, C = x.shape
      qkv1 = qkv(x).reshape(B, N, 3, num_heads, C // num_heads).permute(2, 0, 3, 1, 4)
      q, k, v = qkv1.unbind(0)
      attn = (q * scale @ k.transpose(-2, -1)).softmax(dim=-1)
      return proj((attn @ v).transpose(1, 2).reshape(B, N, C))

  Layer(num_heads, scale, hidden):
    layers:
      norm1: LayerNorm(eps=1e-6)
      attn: Attention(num_heads, scale)
      norm2: LayerNorm
      mlp: [Linear(hidden), GELU, Linear(32)]
    forward: |
      x = x + attn(norm1(x))
      return x + mlp(norm2(x))

model:
  parameters:
    cls: float[1, 1, 32]
  layers:
    patch: Conv2d(32, 4, stride=4)
    blocks: {repeat: 3, of: "Layer(4, 0.3535533905932738, 64)"}
    last: Layer(8, 0.5, 32)
    head: Linear(10)
  forward: |
    x = patch(image).flatten(2).transpose(1, 2)
    return head(last(blocks(cat([cls.expand(x.shape[0], -1, -1), x], dim=1)))[:, 0])"""
    )


class Branches(nn.Module):
    """Functions, methods, shape reads, parts and changes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor, gate: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shortcut = x
        x = F.gelu(self.linear(x))
        first, second = x.chunk(2, dim=-1)
        y = torch.cat([first, second * 2], dim=-1)
        y += shortcut
        half = x.shape[1] // 2
        if gate is not None:
            y = y * torch.sigmoid(gate)[..., None]
        y = F.relu(y, inplace=True)
        return self.norm(y)[:, :half], y.mean(dim=(1, 2))


class Steps(nn.Module):
    """A program of its own in training, tables that are not trained, ties, and loops with a second input."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 8)
        self.places = nn.Embedding(6, 8)
        self.layers = nn.ModuleList([nn.Bilinear(8, 8, 8) for _ in range(2)])
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.words.weight
        self.places.weight.requires_grad = False
        self.register_buffer("mask", torch.tril(torch.ones(6, 6)), persistent=False)
        self.rate = 0.25

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        time = tokens.shape[1]
        x = first = self.words(tokens) + self.places(torch.arange(time, device=tokens.device))
        for layer in self.layers:
            x = layer(x, first)
        if self.training:
            x = x * (torch.rand(x.shape[0], 1, 1, dtype=x.dtype) > self.rate)
        return {"logits": self.head(self.mask[:time, :time] @ x)}


def test_modes_ties_frozen_parts_loops_and_computed_buffers() -> None:
    made = imported(Steps(), torch.randint(0, 10, (2, 4)))
    assert (
        made.text
        == """\
spec: 1
name: Steps
vars: {rate: 0.25}
inputs:
  tokens: int64[batch, 4]
dims: {batch: 2}

model:
  buffers:
    mask: {value: "tril(ones([6, 6], dtype=float32), 0)", persistent: false}
  layers:
    words: Embedding(10, 8)
    places: Embedding(6, 8)
    layers: {repeat: 2, of: Bilinear(8)}
    head: Linear(10, bias=False)
  forward: |
    _, time = tokens.shape
    x = words(tokens) + places(arange(time))
    first = x
    for layer in layers:
      x = layer(x, first)
    if training:
      x = x * (rand(x.shape[0], 1, 1, dtype=x.dtype) > rate)
    return {'logits': head(mask[:time, :time] @ x)}

share:
  shared: [/words.weight, /head.weight]

init:
  - /: checkpoint('weights.safetensors')

freeze: [/places.weight]
"""
    )


def test_functions_and_changes_in_place_are_a_functional_program() -> None:
    made = imported(Branches(), torch.randn(2, 6, 8), torch.randn(2, 6))
    assert (
        model_of(made)
        == """\
model:
  layers:
    linear: Linear(8)
    norm: LayerNorm
  forward: |
    shortcut = x
    x = gelu(linear(x))
    first, second = x.chunk(2, dim=-1)
    y = relu((cat([first, second * 2], dim=-1) + shortcut) * sigmoid(gate)[..., None])
    return norm(y)[:, :x.shape[1] // 2], y.mean(dim=(1, 2))"""
    )
