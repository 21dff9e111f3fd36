"""The shapes in hints are those that `summary` tells, with the same names of dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import compiler
from compiler.cli.summary import form_text
from compiler.editor.analysis import Origin, analysed, name_sizes
from compiler.editor.hints import shapes
from runtime.summary import Form, Node, summarise

SPECS = Path(__file__).parents[3] / "specs/zoo"


def outputs(node: Node) -> Iterator[tuple[str, Form]]:
    yield node.path, node.output
    for child in node.children:
        yield from outputs(child)


@pytest.mark.parametrize(
    ("name", "layers"), [("t5", 25), ("unet", 14), ("whisper", 30), ("gpt2_transformers", 20)]
)
def test_each_layer_has_the_shape_of_the_summary(name: str, layers: int) -> None:
    path = SPECS / f"{name}.yaml"
    found = analysed(Origin(path.read_text(), path))
    name_sizes(found)
    known = dict(outputs(summarise(compiler.compile(path)).root))
    compared = 0
    for number, seen in found.record.layers.items():
        other = found.scaled.layers[number]
        texts = shapes(found, seen.outputs[:1], other.outputs[:1])
        if known.get(seen.path) is not None and texts:
            assert texts == [form_text(known[seen.path])], seen.path
            compared += 1
    assert compared >= layers
