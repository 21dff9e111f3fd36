"""Tensors of a block that hold no numbers with a gradient: buffers, and no parameters."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from compiler import Artifact, SpecError
from spec_schema.tensors import DTYPES, TRAINABLE


def made(kind: str, dtype: str, rules: str = "") -> Artifact:
    return compiler.compile_text(f"""
spec: 1
inputs: {{x: "float[batch, 4]"}}
model:
  {kind}: {{steps: {{tensor: "{dtype}[4]", init: ones}}}}
  forward: return x + steps
{rules}
""")


@pytest.mark.parametrize("rules", ["", "freeze: [steps]"])
@pytest.mark.parametrize("dtype", sorted({*DTYPES} - {*TRAINABLE}))
def test_no_parameter_but_a_buffer(dtype: str, rules: str) -> None:
    with pytest.raises(SpecError) as caught:
        made("parameters", dtype, rules)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.span.text.strip('"')) == ("integer-parameter", f"{dtype}[4]")
    assert problem.help == f"a tensor that is not trained stands under `buffers:`: `steps: {dtype}[4]`"
    steps = runtime.build(made("buffers", dtype), seed=0).get_buffer("steps")
    assert torch.equal(steps, torch.ones(4, dtype=getattr(torch, dtype)))


@pytest.mark.parametrize("dtype", TRAINABLE)
def test_what_has_a_gradient_is_a_parameter(dtype: str) -> None:
    parameter = runtime.build(made("parameters", dtype), seed=0).get_parameter("steps")
    assert parameter.requires_grad
    assert parameter.dtype == getattr(torch, dtype if dtype != "float" else "float32")
