"""What an imported file asks for, the spec that imports it asks for too."""

from __future__ import annotations

import pytest

import compiler

SPEC = """\
spec: 1
import: {parts.yaml: [Part]}
inputs: {x: "float[batch, 4]"}
model: [Part]
"""
PARTS = """\
spec: 1
requires: [mine]
blocks:
  Part: [Special(3)]
"""


def test_the_plugin_that_an_imported_file_requires() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC, imports={"parts.yaml": PARTS})
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.span)) == ("missing-plugin", "parts.yaml:2:12")
