"""Every model that compiles is drawn: each value goes from an earlier call to a later one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

import compiler
from compiler.drawing import traced
from compiler.drawing.drawing import draw
from compiler.drawing.html import html
from compiler.drawing.mermaid import mermaid
from compiler.rules.provenance import Provenance
from runtime.testing.strategies.specs import Document, specs


@pytest.fixture(scope="module", autouse=True)
def _over_example_sizes() -> Iterator[None]:
    """Leave the names of dimensions out, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traced, "SYMBOLIC_SECONDS", 0.0)
        yield


@given(specs())
@settings(max_examples=50)
def test_a_random_spec_is_drawn(document: Document) -> None:
    artifact = compiler.compile_text(json.dumps(document))
    drawing = draw(artifact.inferred, artifact.plan, artifact.name)
    for graph in drawing.graphs:
        assert all(edge.source < edge.target < len(graph.nodes) for edge in graph.edges)
        assert all(node.inside is None or node.inside < len(drawing.graphs) for node in graph.nodes)
    assert drawing.model.into(len(drawing.model.nodes) - 1)
    text = mermaid(drawing)
    assert text.count("subgraph ") == text.splitlines().count("end")
    assert artifact.name in html(drawing, Provenance(artifact.inferred))
