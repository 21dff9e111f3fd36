"""Suggestions: what a person may have meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_schema.suggest import did_you_mean

LAYERS = [
    "Linear",
    "Bilinear",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "BatchNorm2d",
    "LayerNorm",
    "ReLU",
    "ReLU6",
]
LAYERS += [
    "GELU",
    "LSTM",
    "LSTMCell",
    "Embedding",
    "EmbeddingBag",
    "Dropout",
    "Dropout2d",
    "Identity",
    "Softmax",
]
ARGUMENTS = [
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "padding_mode",
    "dilation",
    "bias",
]
KEYS = [
    "spec",
    "name",
    "vars",
    "inputs",
    "dims",
    "blocks",
    "model",
    "share",
    "init",
    "freeze",
    "placement",
    "train",
]


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("linear", LAYERS, "Linear"),
        ("Linaer", LAYERS, "Linear"),
        ("Linar", LAYERS, "Linear"),
        ("Relu", LAYERS, "ReLU"),
        ("relu", LAYERS, "ReLU"),
        ("conv2D", LAYERS, "Conv2d"),
        ("Conv2", LAYERS, "Conv2d"),
        ("layer_norm", LAYERS, "LayerNorm"),
        ("BatchNorm", LAYERS, "BatchNorm2d"),
        ("Embeding", LAYERS, "Embedding"),
        ("Droupout", LAYERS, "Dropout"),
        ("kernel", ARGUMENTS, "kernel_size"),
        ("kernelsize", ARGUMENTS, "kernel_size"),
        ("pading", ARGUMENTS, "padding"),
        ("strides", ARGUMENTS, "stride"),
        ("out_chanels", ARGUMENTS, "out_channels"),
        ("bais", ARGUMENTS, "bias"),
        ("block", KEYS, "blocks"),
        ("modle", KEYS, "model"),
        ("var", KEYS, "vars"),
        ("placment", KEYS, "placement"),
        ("x", ["X", "y"], "X"),
    ],
)
def test_close(word: str, candidates: list[str], meant: str) -> None:
    assert did_you_mean(word, candidates) == meant
    assert did_you_mean(word, reversed(candidates)) == meant


@pytest.mark.parametrize(
    ("word", "candidates"),
    [
        ("banana", LAYERS + ARGUMENTS + KEYS),
        ("Transformer", LAYERS),
        ("x", ["y", "z"]),
        ("dim", ["model", "name"]),
        ("", LAYERS),
        ("anything", []),
        ("Linear" * 100, LAYERS),
        ("_", ["__", "a"]),
    ],
)
def test_not_close(word: str, candidates: list[str]) -> None:
    assert did_you_mean(word, candidates) is None


def test_a_word_is_no_suggestion_for_itself() -> None:
    assert did_you_mean("Linear", ["Linear"]) is None


names = st.text(alphabet="abcdefgh_", min_size=5, max_size=10).filter(lambda name: name.strip("_"))


@given(names, st.integers(0, 8), st.sampled_from("xyz"))
def test_one_slip_is_understood(name: str, at: int, letter: str) -> None:
    at = min(at, len(name) - 2)
    slips = [name[:at] + name[at + 1 :], name[:at] + letter + name[at:], name[:at] + letter + name[at + 1 :]]
    slips.append(name[:at] + name[at + 1] + name[at] + name[at + 2 :])
    for slip in slips:
        assert did_you_mean(slip, ["quite_another", name, "q"]) in ((name,) if slip != name else (None,))


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=8))
def test_a_suggestion_is_a_candidate(word: str, candidates: list[str]) -> None:
    assert did_you_mean(word, candidates) in [None, *candidates]
