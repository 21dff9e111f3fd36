"""Sample inputs are of the declared form, follow from the seed, and index what the model holds."""

from __future__ import annotations

import torch

import compiler
import runtime
from runtime.samples import in_order, sample_inputs

SPEC = """
spec: 1
inputs:
  tokens: int64[64, 8]
  few: int8[64]
  mask: bool[64]
  x: float64[64, 4]
  z: complex64[64]
model:
  layers: {large: "Embedding(1000, 4)", small: "Embedding(7, 4)"}
  forward(x, tokens, few, mask, z): |
    return large(tokens).sum() + small(tokens).sum() + x.sum() + few.sum() + mask.sum() + z.abs().sum()
"""


def test_values_fit_the_declarations_and_every_embedding() -> None:
    artifact = compiler.compile_text(SPEC)
    model = runtime.build(artifact)
    inputs = sample_inputs(artifact, model, 0)
    for name, like in artifact.inferred.inputs.items():
        assert (inputs[name].shape, inputs[name].dtype) == (like.shape, like.dtype)
    assert inputs["tokens"].unique().tolist() == list(range(7))
    assert inputs["mask"].unique().tolist() == [False, True]
    assert 0.5 < inputs["x"].std() < 1.5
    assert torch.isfinite(model(*in_order(artifact, inputs)))


def test_the_seed_decides() -> None:
    artifact = compiler.compile_text('spec: 1\ninputs: {x: "float32[9]"}\nmodel: ReLU\n')
    model = runtime.build(artifact)
    one, same, other = (sample_inputs(artifact, model, seed)["x"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_without_an_embedding_whole_numbers_are_0_or_1() -> None:
    artifact = compiler.compile_text('spec: 1\ninputs: {x: "int64[50]"}\nmodel: ReLU\n')
    assert sample_inputs(artifact, runtime.build(artifact), 0)["x"].unique().tolist() == [0, 1]


def test_inputs_go_in_the_order_of_the_forward() -> None:
    artifact = compiler.compile_text(SPEC)
    assert in_order(artifact, {name: name for name in artifact.inferred.inputs}) == [
        "x",
        "tokens",
        "few",
        "mask",
        "z",
    ]
