"""The JSON Schema of the language: what it takes is what the language has."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from compiler.catalogue.layers import layer_names, layer_type
from compiler.json_schema.language import language_schema
from compiler.json_schema.layers import Schema
from compiler.pipeline import registry
from compiler.rewriting.edits import editable
from compiler.rewriting.forms import converted
from runtime.testing.strategies.specs import Document, specs
from runtime.testing.strategies.trainings import TrainedSpec, trained_specs
from spec_schema.canonical import plain
from spec_schema.codes import codes
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text
from tests.diagnostic_pages import Example, examples

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.yaml"))
SHAPED = ("unknown-key", "wrong-type", "missing-key", "unknown-version")
"""The codes of what has not the form of a spec."""
HEAD = "spec: 1\ninputs: {x: bool}\n"
WRONG = {
    "a key that is none": "modle: [ReLU]",
    "a number for a layer": "model: 3",
    "a list for a mapping": "vars: [1, 2]",
    "a section of a block in the wrong form": "model: {layers: [ReLU]}",
    "an argument that is none": "model: [{layer: Conv2d, out_channels: 8, kernel_size: 3, strid: 2}]",
    "an argument that is missing": "model: [{layer: Conv2d, out_channels: 8}]",
    "a text for a number": "model: [{layer: Linear, out_features: wide}]",
    "a word that is not among those": "model: [{layer: GELU, approximate: 1}]",
    "a repeat of nothing": "model: [{repeat: 3}]",
    "a key of a repeat that is none": "model: [{repeat: 3, of: ReLU, names: x}]",
    "branches that are not joined": "model: [{parallel: [ReLU, Tanh]}]",
    "two layers in one item": "model: [{a: ReLU, b: Tanh}]",
    "a key of a placement that is none": "placement: [{/: {dvice: cpu}}]",
    "a training without a loss": "train: {optimizer: AdamW, batch: 3, epochs: 1, data: {file: a.npz}}",
    "a share that is no list": "share: {a: b}",
    "a block without a name": "blocks: {'(width)': [ReLU]}",
}


@cache
def validator() -> Any:
    schema = language_schema({name: layer_type(name) for name in layer_names()})
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def problems(text: str, name: str = "a.yaml") -> list[str]:
    return [error.message for error in validator().iter_errors(plain(read_text(text, name, DEFAULT_LIMITS)))]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_specs_are_valid(path: Path) -> None:
    assert problems(path.read_text()) == []


@pytest.mark.parametrize("name", ["digits", "zoo/resnet", "zoo/googlenet", "course/20_convolutional"])
def test_layers_as_mappings_are_valid(name: str) -> None:
    path = ROOT / "specs" / f"{name}.yaml"
    spec = editable(path.read_text(), path, str(path), registry(()))
    text = converted(spec, is_long=True, expand=True)
    assert "layer: Conv2d" in text
    assert problems(text) == []


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_invalid(text: str) -> None:
    head = HEAD if "model:" in text else f"{HEAD}model: [ReLU]\n"
    assert problems(head + text)
    assert not problems(f"{HEAD}model: [ReLU]\n")


def test_the_version_is_needed() -> None:
    assert problems("inputs: {x: bool}\nmodel: [ReLU]\n")
    assert problems("spec: 2\ninputs: {x: bool}\nmodel: [ReLU]\n")


@given(specs())
def test_random_specs_are_valid(document: Document) -> None:
    assert list(validator().iter_errors(document)) == []


@given(trained_specs())
def test_random_trainings_are_valid(trained: TrainedSpec) -> None:
    assert list(validator().iter_errors(trained.document)) == []


PAGES = [example for code in codes() for example in examples(code)]


@pytest.mark.parametrize("example", PAGES, ids=str)
def test_the_schema_agrees_with_the_pages_of_diagnostics(example: Example) -> None:
    """What a page mends is valid, and what has not the form of a spec is not."""
    if example.fixed is not None:
        assert problems(example.fixed, example.name) == []
    if example.code in SHAPED:
        try:
            assert problems(example.source, example.name)
        except SpecError:
            return


def test_layers_of_plugins_are_in_it() -> None:
    linear = layer_type("Linear")
    schema: Schema = language_schema({"Mine": linear})
    assert "Mine" in str(schema["definitions"]["LongCall"])
    assert "Conv2d" not in str(schema)
