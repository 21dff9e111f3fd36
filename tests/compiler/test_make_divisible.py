"""`make_divisible` rounds as the libraries round from which the widths of published models come."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import compiler
import runtime
from spec_schema.evaluate import make_divisible
from tests.emitted_file import class_of, run_file

SPEC = """
spec: 1
name: rounded
vars: {wider: 1.2, base: [32, 16, 24], divisor: 8}
inputs: {x: "float32[batch, time]"}
model:
  vars:
    widths: "[make_divisible(wider * width, divisor) for width in base]"
  layers:
    rows: {repeat: widths, as: width, of: Linear(width)}
    last: Linear(MORE)
  forward: |
    return last(rows(x[:, :8])) + make_divisible(x.shape[1] * 1.5, 4)
dims: {time: 9}
"""
FOLDED = "make_divisible(37, 8)"


def by_hand(value: float, divisor: int) -> int:
    """What torchvision has in `torchvision.models._utils`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * value:
        rounded += divisor
    return rounded


@given(st.floats(0, 5000) | st.integers(0, 5000), st.integers(1, 64))
def test_it_is_the_one_of_the_libraries(value: float, divisor: int) -> None:
    found = make_divisible(value, divisor)
    assert found == by_hand(value, divisor)
    assert type(found) is int
    emitted = class_of(compiler.compile_text(SPEC.replace("MORE", FOLDED)).source, "make_divisible")
    assert emitted(value, divisor) == found


def test_the_file_has_it_once_and_takes_other_widths() -> None:
    artifact = compiler.compile_text(SPEC.replace("MORE", FOLDED))
    assert artifact.source.count("def make_divisible(") == 1
    assert "nn.Linear(widths[-1], 40)" in artifact.source  # what is known is computed
    for model in (runtime.build(artifact, device="cpu"), run_file(artifact.source, "Rounded")):
        assert [each.out_features for each in model.get_submodule("rows").children()] == [40, 24, 32]  # type: ignore[misc]
        x = torch.randn(2, 12)
        model.get_parameter("last.weight").data.zero_()
        model.get_parameter("last.bias").data.zero_()
        assert model(x).eq(by_hand(18, 4)).all()
    wider = class_of(artifact.source, "Rounded")(wider=2.0, divisor=4)
    assert [each.out_features for each in wider.rows] == [64, 32, 48]


def test_a_file_that_does_not_call_it_does_not_have_it() -> None:
    artifact = compiler.compile_text(
        f'spec: 1\ninputs: {{x: "float32[batch, 8]"}}\nmodel: ["Linear({FOLDED})"]\n', name="spec.yaml"
    )
    assert "make_divisible" not in artifact.source
    assert "nn.Linear(8, 40)" in artifact.source


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("make_divisible(8, 0)", "evaluation"),
        ("make_divisible(8, 2.5)", "evaluation"),
        ("make_divisible(8)", "evaluation"),
        ("make_divisible('a', 8)", "evaluation"),
        ("make_divisible(inf, 8)", "evaluation"),
        ("make_divisble(8, 8)", "unknown-name"),
    ],
)
def test_what_it_cannot_round_is_said_in_its_place(call: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC.replace("MORE", call))
    assert [each.code for each in caught.value.diagnostics] == [code]


def test_a_tensor_is_not_made_a_number() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC.replace("MORE", "4").replace("x.shape[1] * 1.5", "x.sum()"))
    assert [each.code for each in caught.value.diagnostics] == ["data-to-number"]


def test_a_name_of_the_spec_may_be_the_same() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 8]"}
blocks:
  Part(make_divisible):
    layers: {fc: Linear(make_divisible)}
    forward: return fc(x) + make_divisible
model: [Part(4), "Linear(make_divisible(9, 4))"]
"""
    artifact = compiler.compile_text(text)
    assert runtime.build(artifact, device="cpu")(torch.zeros(1, 8)).shape == (1, 12)
    assert run_file(artifact.source, artifact.name)(torch.zeros(1, 8)).shape == (1, 12)
