"""What a `train` section says of its data, checked without them."""

from __future__ import annotations

import pytest

import compiler
from compiler.training.source import DataSource, Loading, Origin
from spec_schema.diagnostics import SpecError

SPEC = """
spec: 1
vars: {share: 0.2, hands: 1}
inputs: {x: "float32[batch, 4]"}
model: [Linear(2)]
train:
  data: {DATA}
  loss: cross_entropy(output, y)
  optimizer: SGD(lr=0.1)
  batch: 4
  epochs: 1
"""
FIELDS = "file: t.csv, x: [a, b, c, d], y: kind"
TEXT = "text: a.txt, context: 4, x: characters, y: next_characters"


def read(data: str) -> DataSource:
    training = compiler.compile_text(SPEC.replace("DATA", data)).training
    assert training is not None
    return training.data


def test_all_that_may_be_said() -> None:
    source = read(
        f"{FIELDS}, test: {{file: test.csv}}, validation: share / 2, stratify: kind, weights: kind, "
        "workers: hands + 1, transform: \"{'x': x / 2}\""
    )
    assert isinstance(source.test, Origin)
    assert (source.test.kind, source.test.path, source.test.span.text) == ("file", "test.csv", "test.csv")
    assert source.validation == 0.1
    assert source.stratify is not None
    assert source.arrays == {"a", "b", "c", "d", "kind"}
    assert source.fields["x"].columns == ("a", "b", "c", "d")
    assert (source.loading.workers, source.loading.shuffle) == (2, True)
    assert source.transform is not None
    assert source.transform.reads == ("training", "x", "y")


def test_what_is_not_said() -> None:
    source = read(FIELDS)
    assert (source.test, source.validation, source.stratify, source.group) == (None, None, None, None)
    assert source.loading == Loading(0, True, None)
    assert source.transform is None
    assert not read(f"{FIELDS}, shuffle: false").loading.shuffle


@pytest.mark.parametrize(
    ("data", "code", "place"),
    {
        "two places": (f"{FIELDS}, folder: photos", "conflicting-keys", "folder"),
        "two places of a split": (
            f"{FIELDS}, test: {{file: a.csv, folder: b}}",
            "conflicting-keys",
            "folder",
        ),
        "no place of a split": (f"{FIELDS}, test: {{}}", "missing-key", "{}"),
        "an unknown place of a split": (f"{FIELDS}, test: {{files: a.csv}}", "unknown-key", "files"),
        "another kind": (f"{FIELDS}, test: {{folder: b}}", "conflicting-keys", "b"),
        "too much": (f"{FIELDS}, test: 1.5", "bad-size", "1.5"),
        "all of it": (f"{FIELDS}, test: 0.5, validation: 0.5", "bad-size", "validation"),
        "stratified and grouped": (
            f"{FIELDS}, test: 0.5, stratify: a, group: b",
            "conflicting-keys",
            "group",
        ),
        "stratified without a share": (
            f"{FIELDS}, test: {{file: a.csv}}, stratify: a",
            "missing-key",
            "stratify",
        ),
        "grouped without a share": (f"{FIELDS}, group: a", "missing-key", "group"),
        "a text in groups": (f"{TEXT}, test: 0.1, group: a", "unknown-key", "group"),
        "a text with weights": (f"{TEXT}, weights: a", "unknown-key", "weights"),
        "weights without shuffling": (f"{FIELDS}, weights: a, shuffle: false", "conflicting-keys", "shuffle"),
        "too many workers": (f"{FIELDS}, workers: 1000", "bad-size", "1000"),
        "half a worker": (f"{FIELDS}, workers: 0.5", "bad-size", "0.5"),
        "no flag": (f"{FIELDS}, shuffle: 1", "wrong-type", "1"),
        "no columns": ("file: t.csv, x: [], y: kind", "wrong-type", "[]"),
        "columns of columns": ("file: t.csv, x: [[a], b], y: kind", "wrong-type", "[[a], b]"),
        "a text in columns": (TEXT.replace("x: characters", "x: [characters]"), "wrong-type", "[characters]"),
        "no program": (f"{FIELDS}, transform: [a]", "wrong-type", "[a]"),
        "no mapping": (f"{FIELDS}, transform: x / 2", "bad-transform", "x / 2"),
        "an empty program": (f"{FIELDS}, transform: ''", "syntax", "''"),
        "a name": (f"{FIELDS}, transform: \"{{'x': z}}\"", "unknown-name", "z"),
        "in place": (f"{FIELDS}, transform: \"{{'x': x.add_(1)}}\"", "changed-in-place", "add_"),
        "a layer": (f"{FIELDS}, transform: \"{{'x': Linear(2)(x)}}\"", "layer-in-program", "Linear"),
    }.values(),
)
def test_what_is_refused(data: str, code: str, place: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(data)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.text) == (code, place)
