"""The whole of the course: every founding system has a spec that says what it shows, and a proof."""

from pathlib import Path

import pytest
from twins import COURSE, PLUGIN

import compiler

SPECS = sorted(COURSE.glob("*.yaml"))


def test_every_founding_system_has_a_spec_and_a_proof() -> None:
    numbers = {spec.name[:2] for spec in SPECS}
    assert numbers == {f"{number:02}" for number in range(1, 21)}
    tests = [file.stem for file in Path(__file__).parent.glob("test_*.py")]
    proven = {part for name in tests for part in name.split("_") if part.isdigit()}
    assert proven == numbers


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_every_spec_says_what_it_shows(spec: Path) -> None:
    plugins = [PLUGIN] if "requires: [my_layers]" in spec.read_text() else []
    artifact = compiler.compile(spec, plugins=plugins)
    doc = artifact.program.document.doc
    assert doc is not None
    assert doc.text.endswith(".")
    assert artifact.source.startswith(f'"""{doc.text}"""')
