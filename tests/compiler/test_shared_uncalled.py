"""A layer that nobody calls is made where its block shares it by its full name."""

from __future__ import annotations

import pytest

import compiler
import runtime
from tests.emitted_file import run_file

SPEC = """
spec: 1
name: tied
inputs: {tokens: "int64[batch, time]"}
model:
  layers:
    shared: Embedding(50, 8)
    inner: ["Embedding(50, 8)", Linear(8)]
    unused: Embedding(50, 8)
  forward: return inner(tokens)
share:
  words: [FIRST, inner.0.weight]
"""


def test_it_is_made_and_one_with_what_is_called() -> None:
    artifact = compiler.compile_text(SPEC.replace("FIRST", "/shared.weight"))
    for model in (runtime.build(artifact, device="cpu"), run_file(artifact.source, "Tied")):
        assert list(model.state_dict()) == [
            "shared.weight",
            "inner.0.weight",
            "inner.1.weight",
            "inner.1.bias",
        ]
        assert model.get_parameter("shared.weight") is model.get_parameter("inner.0.weight")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SPEC.replace("FIRST", "shared.weight"), "unused-rule"),  # which may be meant for any depth
        (SPEC.replace("FIRST", "/sharde.weight"), "unused-rule"),
        (
            SPEC.replace("FIRST", "/shared.weight").replace("shared: Embedding(50, 8)", "shared: Linear(8)"),
            "uncalled-copy",
        ),
    ],
)
def test_what_cannot_be_made_is_said(text: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    assert [each.code for each in caught.value.diagnostics] == [code]


def test_a_condition_decides() -> None:
    text = SPEC.replace("name: tied", "name: tied\nvars: {joined: false}").replace(
        "words: [FIRST, inner.0.weight]", "words: {if: joined, then: [/shared.weight, inner.0.weight]}"
    )
    assert "shared.weight" not in runtime.build(compiler.compile_text(text), device="meta").state_dict()
    tied = compiler.compile_text(text, set={"joined": True})
    assert "shared.weight" in runtime.build(tied, device="cpu").state_dict()
