"""What follows a built model through torch's C++ follows it as it does a module written by hand."""

from __future__ import annotations

import warnings

import torch

import compiler
import runtime

SPEC = """\
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  layers: {up: Linear(16), norm: BatchNorm1d, down: Linear(4)}
  forward: |
    y = relu(norm(up(x)))
    if x.shape[1] > 2:
      y = y + x.mean()
    return down(y)
"""


def test_a_model_is_traced() -> None:
    model = runtime.build(compiler.compile_text(SPEC)).eval()
    x = torch.randn(3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of all of TorchScript
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of the branch: C++ imports it
        traced = torch.jit.trace(model, x)
    assert torch.equal(traced(x), model(x))
    more = torch.randn(5, 8)
    assert torch.equal(traced(more), model(more))


def test_einops_is_a_leaf_of_graphs_of_a_built_model_and_nothing_in_the_source() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 8]"}
model: ["rearrange('b (h d) -> b h d', h=2)"]
""")
    model, x = runtime.build(artifact), torch.randn(3, 8)
    assert "fx" not in artifact.source
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))
