"""A spec in another form is the same model: layers as mappings, layers as calls, or with what is inferred."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given

import compiler
from compiler.pipeline import registry
from compiler.rewriting.edits import Editable, editable
from compiler.rewriting.expand import expanded
from compiler.rewriting.forms import converted
from compiler.rewriting.long_form import longer
from compiler.rewriting.proof import rows
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_json
from spec_schema.formatting.canonical_form import as_json, as_yaml

PATH = Path("a.json")


def _spec(text: str) -> Editable:
    return editable(text, PATH, str(PATH), registry(()))


@given(specs())
def test_the_long_form_is_the_same_model_and_so_is_the_way_back(document: Document) -> None:
    spec = _spec(to_json(document))
    long = _spec(converted(spec, is_long=True, expand=False))
    assert longer(long, long.compiled()) == []
    short = _spec(converted(long, is_long=False, expand=False))
    assert '"layer"' not in short.text or '"layer"' in spec.text
    assert rows(short.compiled()) == rows(spec.compiled())
    yaml = as_yaml(long.text, "a.json")
    assert rows(compiler.compile_text(yaml, name="a.yaml")) == rows(spec.compiled())
    assert as_json(yaml, "a.yaml") == as_json(long.text, "a.json")


@given(specs())
def test_what_is_inferred_can_be_written_out(document: Document) -> None:
    spec = _spec(to_json(document))
    wide = _spec(converted(spec, is_long=None, expand=True))
    assert rows(wide.compiled()) == rows(spec.compiled())
    assert expanded(wide, wide.compiled()) == []
