"""A list that runs a layer of the block around it: one layer, one name, whoever runs it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compiler
import runtime

SPEC = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  layers:
    s: Linear(8)
    net: [s, ReLU, {own: Linear(8)}, s, own]
"""
CALLED = """  forward: |
    return net(x) + net(x + 1)
"""


def hand_written(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    s, own = model.get_submodule("s"), model.get_submodule("net.own")
    return own(s(own(torch.relu(s(x)))))


def test_in_order() -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    assert list(model.state_dict()) == ["s.weight", "s.bias", "net.own.weight", "net.own.bias"]
    x = torch.randn(3, 8)
    assert torch.equal(model(x), hand_written(model, model.get_submodule("s")(x)))


def test_called_by_a_program() -> None:
    model = runtime.build(compiler.compile_text(SPEC + CALLED), device="cpu")
    x = torch.randn(3, 8)
    assert torch.equal(model(x), hand_written(model, x) + hand_written(model, x + 1))


def test_another_use_is_refused_where_it_stands() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC + "  forward: |\n    return [layer(x) for layer in net][0]\n")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "borrowed-layer"
    assert str(diagnostic.span) == "spec.yaml:9:35"


def test_a_list_that_runs_a_list_that_runs_a_layer() -> None:
    spec = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  layers: {s: Linear(8), inner: [ReLU, s], outer: [Tanh, inner, s]}
  forward: return outer(x)
"""
    model = runtime.build(compiler.compile_text(spec), device="cpu")
    x, s = torch.randn(3, 8), model.get_submodule("s")
    assert torch.equal(model(x), s(s(torch.relu(torch.tanh(x)))))
