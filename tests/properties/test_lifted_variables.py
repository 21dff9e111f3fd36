"""Emitting commutes with `--set`: the file at other values of its arguments is the model compiled with these values."""

from __future__ import annotations

import inspect
import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import compiler
import runtime
from runtime.testing.comparison import difference
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from spec_schema.diagnostics import SpecError
from tests.emitted_file import class_of
from tests.properties.comparison import outputs, sharing, trainable

FACTORS = st.sampled_from((2, 3, 5))


@given(specs(variables=2), st.data())
def test_the_file_at_other_values_is_the_model_at_these(document: Document, data: st.DataObject) -> None:
    text = to_yaml(document)
    artifact = compiler.compile_text(text)
    cls = class_of(artifact.source, artifact.name)
    defaults = arguments(cls)
    assert presets_agree(document, cls, text)
    assume(defaults)
    changed = data.draw(st.sets(st.sampled_from(sorted(defaults)), min_size=1), label="changed")
    values = {name: data.draw(others(defaults[name]), label=name) for name in sorted(changed)}
    try:
        there = compiler.compile_text(text, set={name: json.dumps(value) for name, value in values.items()})
    except SpecError:
        assume(False)
    alone, model = cls(**values), runtime.build(there)
    assert shapes(alone) == shapes(model)
    alone.load_state_dict(model.state_dict(), strict=True)
    assert sharing(alone) == sharing(model)
    assert trainable(alone) == trainable(model)
    assert difference(outputs(alone, there), outputs(model, there)) is None


def presets_agree(document: Document, cls: type[nn.Module], text: str) -> bool:
    """Return whether the class methods of a file make the models of the presets."""
    titles = [title for title in document.get("presets", {}) if title in vars(cls)]
    models = {title: runtime.build(compiler.compile_text(text, preset=title)) for title in titles}
    return all(shapes(getattr(cls, title)()) == shapes(model) for title, model in models.items())


def arguments(cls: type[nn.Module]) -> dict[str, Any]:
    """Return the arguments of a constructor with their defaults; none where it is the one of its base."""
    own = inspect.signature(cls).parameters.items() if "__init__" in vars(cls) else ()
    return {name: each.default for name, each in own}


def shapes(model: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]


def others(value: Any) -> st.SearchStrategy[Any]:
    """Return values like the default of an argument: multiples of it, and of a switch the other way."""
    match value:
        case bool():
            return st.just(not value)
        case int():
            return FACTORS.map(lambda factor: value * factor)
        case float():
            return st.sampled_from((0.5, 0.75)).map(lambda factor: value * factor)
        case tuple() if value and all(type(item) is int for item in value):
            return FACTORS.map(lambda factor: tuple(item * factor for item in value))
    return st.just(value)
