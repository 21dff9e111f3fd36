"""What no move can mend is refused with the line, and with the rules that placed what is in the way."""

from __future__ import annotations

import pytest

import compiler
from compiler.other_devices import place

SPEC = """
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Times:
    layers: {inner: Linear(8)}
    forward(x, w): |
      return inner(x) @ w
model:
  parameters:
    a: {tensor: "float[8]", init: ones}
    b: {tensor: "float[8]", init: ones}
  layers: {f: Linear(8), times: Times, g: Linear(8)}
  forward: |
    BODY
"""


@pytest.mark.parametrize(
    ("body", "rule", "code", "message", "at", "labels"),
    [
        (
            "x = f(x) * (a + b)",
            "b",
            "device-mix",
            "`+` would get `a` on cuda:0, and `b` on cuda:1",
            "a + b",
            "a b",
        ),
        (
            "x = f(x) + stack([a, b]).sum(0)",
            "b",
            "device-mix",
            "`stack` would get `a` on cuda:0, and `b` on cuda:1",
            "stack([a, b])",
            "a b",
        ),
        (
            "x = f(a * 2.0) + x + b",
            "f",
            "device-mix",
            "`a` is on cuda:0, and is needed on cuda:1",
            "a * 2.0",
            "a",
        ),
        (
            "x = times(f(x), f.weight) + a + b",
            "times",
            "device-mix",
            "`f.weight` is on cuda:0, and is needed on cuda:1",
            "times(f(x), f.weight)",
            "f.weight",
        ),
        (
            "y = f(x) * a * b\nif x.sum() > 0:\n  x = y\nelse:\n  x = g(y)",
            "g",
            "ways-disagree",
            "`x` is float32[2, 8] on cuda:0 on one way and float32[2, 8] on cuda:1 on another",
            "x",
            "",
        ),
        (
            "x = f(x) * a * b\nx = x if x.sum() > 0 else g(x)",
            "g",
            "ways-disagree",
            "the value is float32[2, 8] on cuda:0 on one way and float32[2, 8] on cuda:1 on another",
            "x",
            "",
        ),
        (
            "x = f(x) * a * b\nwhile x.sum() > 0:\n  x = g(x)",
            "g",
            "ways-disagree",
            "`x` is float32[2, 8] on cuda:0 on one way and float32[2, 8] on cuda:1 on another",
            "x",
            "",
        ),
    ],
)
def test_a_program(body: str, rule: str, code: str, message: str, at: str, labels: str) -> None:
    artifact = compiler.compile_text(SPEC.replace("BODY", f"{body}\nreturn x".replace("\n", "\n    ")))
    with pytest.raises(compiler.SpecError) as caught:
        place(artifact, {"/": "cuda:0", rule: "cuda:1"})
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (code, message)
    assert found.span is not None
    assert found.span.file.text[found.span.start : found.span.end] == at
    if code == "device-mix":
        assert [label.text for label in found.labels] == [f"the rule of `{name}`" for name in labels.split()]
        assert {label.span.file.text for label in found.labels} <= {"/=cuda:0", f"{rule}=cuda:1"}
