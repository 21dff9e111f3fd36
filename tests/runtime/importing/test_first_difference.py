"""A spec that is not its module: the first statement with another value is named, with what the module does there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from runtime.importing.comparing import pair_of
from runtime.importing.first_difference import FirstDifference, first_difference
from runtime.importing.imported import from_module
from runtime.importing.positions import span_of
from spec_schema.diagnostics import SpecError


class Residual(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 2 * dim)
        self.down = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up(x)
        y = torch.relu(hidden)
        return x + self.down(y)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.blocks = nn.Sequential(Residual(4), Residual(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x).tanh()).mean(1)


SPEC = """\
spec: 1
name: Net
inputs: {x: "float[batch, time, 3]"}
dims: {batch: 2, time: 5}

blocks:
  Residual:
    layers: {up: Linear(8), down: Linear(4)}
    forward: |
      y = relu(up(x))
      return x + down(y)

model:
  layers: {stem: Linear(4), blocks: {repeat: 2, of: Residual}}
  forward: |
    return blocks(stem(x).tanh()).mean(1)
"""


def first_of(spec: str) -> FirstDifference | None:
    artifact = compiler.compile_text(spec)
    torch.manual_seed(0)
    module = Net()
    model = runtime.build(artifact, device="cpu")
    model.load_state_dict(module.state_dict())
    pair = pair_of(module, lambda: copy.deepcopy(model), ["x"])
    return first_difference(pair, artifact, {"x": torch.randn(2, 5, 3, dtype=torch.float64)}, False)


@pytest.mark.parametrize(
    ("right", "wrong", "statement", "source", "path"),
    [
        ("relu(up(x))", "gelu(up(x))", "y = gelu(up(x))", "torch.relu(hidden)", "blocks.0"),
        ("x + down(y)", "x - down(y)", "return x - down(y)", "x + self.down(y)", "blocks.0"),
        (
            "stem(x).tanh()",
            "stem(x).sigmoid()",
            "return blocks(stem(x).sigmoid()).mean(1)",
            "self.stem(x).tanh()",
            "",
        ),
        (
            ".mean(1)",
            ".mean(2)",
            "return blocks(stem(x).tanh()).mean(2)",
            "self.blocks(self.stem(x).tanh()).mean(1)",
            "",
        ),
    ],
)
def test_the_first_statement_with_another_value(
    right: str, wrong: str, statement: str, source: str, path: str
) -> None:
    found = first_of(SPEC.replace(right, wrong))
    assert found is not None
    assert found.statement is not None
    assert found.statement.text == statement
    span = span_of(found.source)
    assert span is not None
    assert span.text == source
    assert found.path == path


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if x.shape[1] > 8:
            y = y / x.shape[1]
        return x + y.relu()


def test_a_refusal_shows_both_places() -> None:
    with pytest.raises(SpecError) as refused:
        from_module(nn.Sequential(Scaled()), ["float32[batch, time, 4]"], dims={"time": 8})
    (found,) = refused.value.diagnostics
    assert (found.code, found.notes) == ("import-differs", ("in the layer `0`",))
    assert found.span is not None
    assert found.span.text == "return x + linear(x).relu()"
    assert [each.span.text for each in found.labels] == ["y / x.shape[1]"]


def test_an_equal_spec_has_no_such_statement() -> None:
    assert first_of(SPEC) is None
