"""A spec means the same in YAML, in JSON and in its canonical form."""

from __future__ import annotations

from typing import Any

from hypothesis import given

import compiler
from compiler.artifact import Artifact
from compiler.pipeline import compile_canonical
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import plain, to_json, to_yaml
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text


@given(specs())
def test_every_form_of_a_spec_compiles_to_the_same(document: Document) -> None:
    texts = {"model.yaml": to_yaml(document), "model.json": to_json(document)}
    for name, text in texts.items():
        assert plain(read_text(text, name, DEFAULT_LIMITS)) == document, (
            f"{name}: reads back as something else"
        )
    preset = next(iter(document.get("presets", {})), None)
    yaml, json = (compiler.compile_text(text, name=name, preset=preset) for name, text in texts.items())
    assert yaml.source == json.source
    assert _plan(yaml) == _plan(json)
    again = compile_canonical(yaml.canonical, name="model.yaml")
    assert again.source == yaml.source
    assert _plan(again) == _plan(yaml)
    assert again.canonical == yaml.canonical


def _plan(artifact: Artifact) -> list[Any]:
    """Return the plan as values that can be compared."""
    return [
        (
            *(row.names, row.kind, row.shape, row.dtype, row.persistent, row.trainable, row.device),
            row.initialisation.text if row.initialisation else None,
            [(decision.section, decision.text, decision.won) for decision in row.decisions],
        )
        for row in artifact.plan.rows
    ]
