"""Names of operations in layer positions that were probably meant as layers."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.catalogue.operation_table import SCALAR_OPERATIONS


def made(item: str, signature: str = "Block(width)", use: str = "Block(8)", more: str = "") -> Artifact:
    return compiler.compile_text(f"""
spec: 1
inputs: {{image: "float[batch, 3, 8, 8]"}}
blocks:
  {signature}: ["Conv2d(width, 3)", {item}]
{more}
model: ["{use}"]
""")


def problems(*arguments: str) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        made(*arguments)
    return [(each.code, each.span.text if each.span else "") for each in caught.value.diagnostics]


@pytest.mark.parametrize("name", sorted(SCALAR_OPERATIONS))
def test_one_that_makes_a_number_of_a_feature_map_is_refused(name: str) -> None:
    assert problems(name) == [("bare-operation", name)]


@pytest.mark.parametrize(
    "form", ["{{residual: {}}}", "[{}, ReLU]", "{{repeat: 2, of: {}}}", "{{if: 1 > 0, then: {}}}"]
)
def test_wherever_it_stands(form: str) -> None:
    assert problems(form.format("norm")) == [("bare-operation", "norm")]


@pytest.mark.parametrize("item", ["norm()", '"norm(dim=1)"', "relu", "tanh", "{layer: norm, dim: 1}"])
def test_what_is_plainly_an_operation_is_one(item: str) -> None:
    made(item)


def test_operations_combine_as_before() -> None:
    made("{residual: [Tanh], combine: max}")


def test_a_layer_that_another_block_is_given() -> None:
    other = "  Other(silu): [Tanh, silu]"
    assert problems("silu", "Block(width)", "Block(8)", other) == [("bare-operation", "silu")]
    made("silu()", "Block(width)", "Block(8)", other)
    made("silu", "Block(width)", "Block(8)", "  Other(silu): [Tanh, Dropout(silu)]")  # that one is a number


@pytest.mark.parametrize(("default", "value"), [("0.1", "0.1"), ("None", "None")])
def test_an_argument_that_is_no_layer_is_no_operation(default: str, value: str) -> None:
    with pytest.raises(SpecError) as caught:
        made("dropout", f"Block(width, dropout={default})")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.message) == ("not-a-layer", f"`dropout` is {value} here, not a layer")
    assert problem.help
    assert "`dropout()`" in problem.help


def test_an_argument_that_is_called_goes_into_the_operation() -> None:
    model = runtime.build(made('"dropout(dropout)"', "Block(width, dropout=0.0)"), seed=0)
    x = torch.ones(2, 3, 8, 8)
    assert torch.equal(model.train()(x), model.eval()(x))
