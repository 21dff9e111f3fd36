"""Small models in which tensors have several names, or are frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact

BLOCK = """
blocks:
  Block(dim):
    layers: {norm: LayerNorm, up: Linear(2 * dim), down: Linear(dim)}
    forward: return x + down(relu(up(norm(x))))
"""

WORDS = f"""
spec: 1
name: words
vars: {{dim: 4, depth: 2, words: 11}}
inputs: {{tokens: "int64[batch, time]"}}
dims: {{batch: 2, time: 5}}
{BLOCK}
model:
  layers:
    embedding: Embedding(words, dim)
    h: {{repeat: depth, of: Block(dim)}}
    head: Linear(words, bias=False)
  forward: return head(h(embedding(tokens)))
share: {{words: [embedding.weight, head.weight]}}
"""

ALBERT = f"""
spec: 1
name: albert
vars: {{dim: 4, depth: 12, words: 11}}
inputs: {{tokens: "int64[batch, time]"}}
dims: {{batch: 2, time: 5}}
{BLOCK}
model:
  layers:
    embedding: Embedding(words, dim)
    h: {{repeat: depth, of: Block(dim)}}
    head: Linear(words, bias=False)
  forward: return head(h(embedding(tokens)))
share:
  layer: ["h.*"]
  words: [embedding.weight, head.weight]
"""

SIAMESE = """
spec: 1
name: siamese
inputs: {left: "float32[batch, 6]", right: "float32[batch, 6]"}
dims: {batch: 3}
blocks:
  Tower(dim):
    layers: {first: Linear(2 * dim), norm: BatchNorm1d, second: Linear(dim)}
    forward: return second(relu(norm(first(x))))
model:
  layers: {left_tower: Tower(4), right_tower: Tower(4), score: Linear(1)}
  forward: return score(abs(left_tower(left) - right_tower(right)))
share: {tower: [left_tower, right_tower]}
"""

STATISTICS = """
spec: 1
name: statistics
inputs: {x: "float32[batch, 4]"}
dims: {batch: 3}
model:
  - a: Linear(4)
  - one: BatchNorm1d
  - b: Linear(4)
  - two: BatchNorm1d
share:
  mean: [one.running_mean, two.running_mean]
  var: [one.running_var, two.running_var]
  count: [one.num_batches_tracked, two.num_batches_tracked]
  bias: [a.bias, b.bias, one.bias]
"""

TIED = {"words": WORDS, "albert": ALBERT, "siamese": SIAMESE, "statistics": STATISTICS}


@cache
def artifact(text: str) -> Artifact:
    return compiler.compile_text(text)


def build(name: str, seed: int = 0) -> nn.Module:
    return runtime.build(artifact(TIED[name]), seed=seed, device="cpu")


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return all tensors under all of their names."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def sharing(model: nn.Module) -> set[frozenset[str]]:
    """Return the names of each tensor that has several."""
    groups: dict[int, set[str]] = {}
    for name, tensor in tensors(model).items():
        groups.setdefault(id(tensor), set()).add(name)
    return {frozenset(names) for names in groups.values() if len(names) > 1}


def planned(made: Artifact) -> set[frozenset[str]]:
    """Return what the spec says that `sharing` is."""
    return {frozenset(row.names) for row in made.plan.rows if len(row.names) > 1}


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors(model).items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def inputs(made: Artifact, seed: int = 0) -> list[Tensor]:
    """Return inputs of a model, which take words below 11."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(x.shape, generator=generator)
        if x.dtype.is_floating_point
        else torch.randint(0, 11, x.shape, generator=generator)
        for x in made.inferred.inputs.values()
    ]


@contextmanager
def future(flag: str | None) -> Iterator[None]:
    """Switch on what torch plans for conversions: parameters are overwritten, or swapped. None for as it is now."""
    if flag is None:
        yield
        return
    switch = getattr(torch.__future__, f"set_{flag}_module_params_on_conversion")
    switch(True)
    try:
        yield
    finally:
        switch(False)
