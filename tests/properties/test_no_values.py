"""Compiling makes no values, whatever the spec: no tensor of more than a few numbers is made but on the meta device."""

from __future__ import annotations

from hypothesis import given, settings

import compiler
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from tests.on_meta import Made


@settings(max_examples=30)
@given(specs())
def test_a_spec_compiles_on_the_meta_device_alone(document: Document) -> None:
    with Made(small=64) as made:
        artifact = compiler.compile_text(to_yaml(document))
        assert artifact.source
    assert not made.elsewhere
