"""`share: {name: {if: expr, then: [...]}}`: who shares follows from the variables of the spec."""

from __future__ import annotations

import pytest

import compiler
import runtime

SPEC = """
spec: 1
vars: {tied: false, depth: 2}
inputs: {tokens: "int64[batch, time]"}
model:
  layers:
    embedding: Embedding(20, 8)
    head: Linear(20, bias=False)
share:
  words: {if: CONDITION, then: [embedding.weight, SECOND]}
"""


def spec(condition: str, second: str = "head.weight") -> str:
    return SPEC.replace("CONDITION", condition).replace("SECOND", second)


@pytest.mark.parametrize(
    ("condition", "tied", "shares"),
    [
        ("tied", True, True),
        ("tied", False, False),
        ("depth > 1 and not tied", False, True),
        ("true", False, True),
    ],
)
def test_holds_or_not(condition: str, tied: bool, shares: bool) -> None:
    model = runtime.build(compiler.compile_text(spec(condition), set={"tied": tied}), device="cpu")
    one = model.get_parameter("embedding.weight") is model.get_parameter("head.weight")
    assert one is shares


def test_a_block_may_share_by_a_condition() -> None:
    text = """
spec: 1
vars: {tied: true}
inputs: {x: "float[batch, 8]"}
blocks:
  Pair:
    layers: {a: Linear(8), b: Linear(8)}
    share:
      both: {if: tied, then: [a, b]}
model: [Pair]
"""
    assert len(list(runtime.build(compiler.compile_text(text), device="cpu").parameters())) == 2
    untied = compiler.compile_text(text, set={"tied": False})
    assert len(list(runtime.build(untied, device="cpu").parameters())) == 4


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (spec("tide"), "unknown-name"),
        (spec("1 / (depth - 2)"), "evaluation"),
        (spec("tied", "head..weight"), "bad-selector"),
        (spec("true", "hed.weight"), "unused-rule"),
        (spec("tied").replace("if:", "when:"), "unknown-key"),
        (spec("tied").replace("{if: tied, then: [embedding.weight, head.weight]}", "words"), "wrong-type"),
    ],
)
def test_what_is_wrong_is_told(text: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    assert code in [problem.code for problem in caught.value.diagnostics]
