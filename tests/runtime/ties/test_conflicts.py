"""Names of one tensor about which a spec says different things: errors, with both lines."""

from __future__ import annotations

import pytest

import compiler
from spec_schema.diagnostics import Diagnostic

HEAD = """spec: 1
vars: {size: 4}
inputs: {x: "float32[batch, 4]"}
"""
TWO = "model: [{a: Linear(4)}, {b: Linear(4)}]\nshare: {both: [a, b]}\n"
TENSORS = """model:
  parameters:
    p: {tensor: "float32[4]", init: zeros}
    q: {tensor: "float32[4]", init: ones}
    r: {tensor: "float64[4]", init: ones}
  buffers:
    b: {tensor: "float32[4]", init: zeros}
    c: {tensor: "float32[4]", init: zeros, persistent: false}
    v: {value: "arange(size) * 1.0"}
    u: {value: "arange(size) * 2.0"}
    w: {value: "arange(size) * 1.0"}
  forward: return x + p + q + r + b + c + v + u + w
"""
BLOCKS = """blocks:
  Scaled(std, rate):
    parameters: {p: {tensor: "float32[4]", init: normal(std=std)}}
    layers: {drop: Dropout(rate)}
    forward: return drop(x + p)
"""


def refused(text: str) -> list[Diagnostic]:
    with pytest.raises(compiler.SpecError) as error:
        compiler.compile_text(HEAD + text)
    return list(error.value.diagnostics)


def places(found: Diagnostic) -> list[int]:
    """Return the lines that a diagnostic shows, the first is its own. The head of the spec is left out."""
    spans = [found.span, *(label.span for label in found.labels)]
    return [span.line - HEAD.count("\n") for span in spans if span is not None]


@pytest.mark.parametrize(
    ("text", "code", "message", "lines"),
    [
        (
            TWO + "init:\n  - a.weight: zeros\n  - b.weight: ones\n",
            "share-conflict",
            "`a.weight` and `b.weight` are one tensor with two init rules",
            [5, 4],
        ),
        (
            TENSORS + "share: {one: [p, q]}\n",
            "share-conflict",
            "`p` and `q` are one tensor with two init rules",
            [4, 3],
        ),
        (
            BLOCKS + 'model: [{a: "Scaled(1, 0)"}, {b: "Scaled(2, 0)"}]\nshare: {one: [a.p, b.p]}\n',
            "share-conflict",
            "`a.p` and `b.p` are one tensor with two first values",
            [3],
        ),
        (
            TWO + "freeze:\n  - a\n",
            "share-conflict",
            "`a.weight` is frozen, and it is one tensor with `b.weight`, which is not",
            [4, 2],
        ),
        (
            "model: [{a: BatchNorm1d(affine=False)}, {b: BatchNorm1d(affine=False)}]\n"
            "share: {both: [a, b]}\nfreeze: [b]\n",
            "share-conflict",
            "`b.running_mean` is frozen, and it is one tensor with `a.running_mean`, which is not",
            [3, 2],
        ),
        (
            TWO + "placement:\n  - /: cpu\n  - b: cuda:1\n",
            "share-conflict",
            "`a.weight` and `b.weight` are one tensor, on cpu and on cuda:1",
            [5, 4],
        ),
        (TENSORS + "share: {one: [p, r]}\n", "share-shapes", "`p` and `r` cannot be one tensor", [13, 13]),
        (
            TENSORS + "share: {one: [p, b]}\n",
            "share-kinds",
            "`b` is a buffer, and `p` is a parameter",
            [13, 13],
        ),
        (
            TENSORS + "share: {one: [b, c]}\n",
            "share-conflict",
            "`b` is saved, and it is one tensor with `c`, which is not",
            [8, 7],
        ),
        (
            TENSORS + "share: {one: [u, v]}\n",
            "share-conflict",
            "`u` and `v` are one tensor with two values",
            [9, 10],
        ),
        (
            TENSORS + "share: {one: [b, v]}\n",
            "share-conflict",
            "`b` and `v` are one tensor with two values",
            [9, 7],
        ),
    ],
)
def test_a_conflict(text: str, code: str, message: str, lines: list[int]) -> None:
    found = refused(text)
    assert found[0].code == code
    assert found[0].message == message
    assert places(found[0])[: len(lines)] == lines


def test_one_rule_is_reported_once_for_all_tensors_of_a_layer() -> None:
    assert len(refused(TWO + "freeze: [b]\n")) == 1


@pytest.mark.parametrize(
    "text",
    [
        TWO + "init:\n  - a.weight: zeros\n",
        TWO + "init:\n  - a.weight: ones\n  - b.weight: ones\n",
        TWO + "init:\n  - b.weight: zeros\n  - Linear.weight: ones\n",
        TWO + "freeze: [a, b]\n",
        TWO + "placement:\n  - b: cpu\n",
        TENSORS + "share: {one: [v, w]}\n",
        TENSORS + "share: {one: [p, q]}\ninit:\n  - q: zeros\n",
        BLOCKS + 'model: [{a: "Scaled(1, 0)"}, {b: "Scaled(1, 0.5)"}]\nshare: {one: [a.p, b.p]}\n',
    ],
)
def test_no_conflict(text: str) -> None:
    made = compiler.compile_text(HEAD + text)
    assert any(len(row.names) == 2 for row in made.plan.rows)


@pytest.mark.parametrize(
    ("one", "other", "note"),
    [
        ("LayerNorm(eps=0.1)", "LayerNorm", "`a` is `LayerNorm(eps=0.1)`, `b` is `LayerNorm(eps=1e-05)`"),
        ("[Linear(4), ReLU]", "[Linear(4), GELU]", "`a.1` is `ReLU`, `b.1` is `GELU`"),
        ("[Linear(4), ReLU]", "[Linear(4)]", "`a.1` is `ReLU`, `b.1` is `nothing`"),
        (
            "[Linear(4), softmax(-1)]",
            "[Linear(4), softmax(1)]",
            "`a.1` is `softmax(-1)`, `b.1` is `softmax(1)`",
        ),
        ('"Scaled(1, 0)"', '"Scaled(1, 0.5)"', "`a` is `Scaled(rate=0)`, `b` is `Scaled(rate=0.5)`"),
        ("{residual: Linear(4)}", "{residual: Linear(4), combine: mul}", None),
        (
            "BatchNorm1d",
            "BatchNorm1d(momentum=0.5)",
            "`a` is `BatchNorm1d(momentum=0.1)`, `b` is `BatchNorm1d(mom",
        ),
    ],
)
def test_layers_that_are_not_alike(one: str, other: str, note: str | None) -> None:
    text = f"{BLOCKS}model:\n  - a: {one}\n  - b: {other}\nshare: {{both: [a, b]}}\n"
    found = refused(text)[0]
    assert (found.code, found.message) == ("share-kinds", "`a` and `b` are not the same layer")
    assert note is None or found.notes[0].startswith(note)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Linear(4)", "Linear(4, bias=True)"),
        ("[Linear(4), {residual: Linear(4)}]", "[Linear(4), {residual: Linear(4)}]"),
        ("{parallel: [Linear(4), ReLU], combine: add}", "{parallel: [Linear(4), ReLU], combine: add}"),
        ('"Scaled(1, 0)"', '"Scaled(std=1, rate=0)"'),
        ("{if: size > 3, then: Linear(4)}", "Linear(4)"),
    ],
)
def test_layers_that_are_alike(one: str, other: str) -> None:
    text = f"{BLOCKS}model:\n  - a: {one}\n  - b: {other}\nshare: {{both: [a, b]}}\n"
    assert all(len(row.names) == 2 for row in compiler.compile_text(HEAD + text).plan.rows)
