"""A model that nobody uses any more is gone at once, and its memory with it; a copy of it stays whole."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from copy import deepcopy
from weakref import ref

import pytest
import torch
from torch import nn

import compiler
import runtime

SPEC = """
spec: 1
inputs: {x: "float[2, 4]"}
model: [{a: Linear(4)}, {b: Linear(4)}, {norm: BatchNorm1d}]
share: {s: [a.weight, b.weight]}
freeze: [norm]
"""


@pytest.fixture
def model() -> nn.Module:
    return runtime.build(compiler.compile_text(SPEC), device="cpu")


@pytest.fixture
def _no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
def test_a_model_is_freed_with_its_last_name() -> None:
    built = runtime.build(compiler.compile_text(SPEC), device="cpu")
    gone = ref(built)
    weight = ref(built.get_parameter("a.weight"))
    del built
    assert gone() is None
    assert weight() is None


def test_a_copy_outlives_the_model(model: nn.Module) -> None:
    kept = deepcopy(model)
    del model
    gc.collect()
    kept.double().to_empty(device="meta")
    assert kept.get_parameter("a.weight") is kept.get_parameter("b.weight")
    kept.get_submodule("norm").train()
    assert not kept.get_submodule("norm").training


def test_a_copy_leaves_the_model_alone(model: nn.Module) -> None:
    deepcopy(model).double()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
