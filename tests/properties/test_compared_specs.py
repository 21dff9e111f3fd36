"""What is told of two random specs: nothing of a spec and itself, renames where layers have other names."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import assume, given

import compiler
from compiler.artifact import Artifact
from compiler.diff.comparison import Comparison, compare
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_json, to_yaml
from spec_schema.diagnostics import SpecError

WORD = "called_otherwise"


@given(specs())
def test_a_spec_is_the_same_as_itself_in_another_form(document: Document) -> None:
    before = compiler.compile_text(to_yaml(document), name="model.yaml")
    after = compiler.compile_text(to_json(document), name="model.yaml")
    found = compared(before, after)
    assert found.is_same
    assert not found.changes
    assert found.weights.as_it_is
    assert len(found.tensors.pairs) == len(before.plan.rows)


@given(specs())
def test_a_layer_that_is_called_otherwise_is_one_rename_and_nothing_else(document: Document) -> None:
    name = _layer_name(document)
    assume(name is not None)
    before = compiler.compile_text(to_yaml(document), name="model.yaml")
    after = _compiled(re.sub(rf"\b{name}\b", WORD, to_yaml(document)))
    assume(after is not None and len(after.plan.rows) == len(before.plan.rows))
    assert after is not None
    found = compared(before, after)
    assume(found.changes)  # a layer that no call reaches is not made
    told = [
        (each.kind, each.before and each.before.path, each.after and each.after.path)
        for each in found.changes
    ]
    assert told == [("renamed", name, WORD)]
    assert not found.programs
    assert not found.is_same
    for one, other in found.tensors.pairs.items():
        assert re.sub(rf"^{name}(?=[.])", WORD, one.name) == other.name
    assert found.weights.problem is None


def compared(before: Artifact, after: Artifact) -> Comparison:
    return compare(before, after, "before.safetensors")


def _layer_name(document: Document) -> str | None:
    """Return the name of a layer of the model that is nothing else in the spec, and nothing in a block."""
    model: Any = document["model"]
    layers = model.get("layers", {}) if isinstance(model, dict) else {}
    others = {*document.get("vars", {}), *document.get("inputs", {})}
    inside = to_yaml({"blocks": document.get("blocks", {}), "layers": list(layers.values())})
    free = (name for name in layers if name.isidentifier() and name not in others)
    return next((name for name in free if not re.search(rf"\b{name}\b", inside)), None)


def _compiled(text: str) -> Artifact | None:
    """Return the artifact of a spec, None if it is refused: the word was something else, too."""
    try:
        return compiler.compile_text(text, name="model.yaml")
    except SpecError:
        return None
