"""Weights that leave a model by any way, and come back, give the same model."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

from hypothesis import given
from torch import nn

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.testing.comparison import difference, same
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from tests.properties.comparison import outputs, sharing, state, trainable


@given(specs())
def test_weights_go_into_another_build_a_copy_and_a_file(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    model = runtime.build(artifact, seed=1)
    twins = {
        "another build": _second_build(artifact, model),
        "a deep copy": copy.deepcopy(model),
        "a saved file": _saved_and_loaded(model),
    }
    expected, before = outputs(model, artifact), state(twins["a deep copy"])
    for way, twin in twins.items():
        assert list(twin.state_dict()) == list(model.state_dict()), f"{way}: other keys"
        assert same(state(twin), before), f"{way}: other values"
        assert sharing(twin) == sharing(model), f"{way}: other tensors are one"
        assert trainable(twin) == trainable(model), f"{way}: other parameters are trained"
        found = difference(outputs(twin, artifact), expected)
        assert found is None, f"{way}: another output: {found}"
        found = difference(state(twin), state(model))
        assert found is None, f"{way}: training left other values: {found}"


def _second_build(artifact: Artifact, model: nn.Module) -> nn.Module:
    second = runtime.build(artifact, seed=2)
    second.load_state_dict(model.state_dict())
    return second


def _saved_and_loaded(model: nn.Module) -> nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        runtime.save(model, path)
        return runtime.load(path, train=True)
