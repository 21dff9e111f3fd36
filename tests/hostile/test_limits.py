"""Limits that no page of a diagnostic shows: each lets pass what is just small enough, and refuses what is one more."""

from __future__ import annotations

import pytest

import compiler

HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'
NAMED = {
    "variable": HEAD + "vars: {#: 1}\nmodel: [Linear(4)]\n",
    "layer": HEAD + "model:\n  layers: {#: Linear(4)}\n",
    "block": HEAD + "blocks: {B#: [ReLU]}\nmodel: [ReLU]\n",
    "input": "spec: 1\ninputs: {#: 'float[batch, 8]'}\nmodel: [ReLU]\n",
}


@pytest.mark.parametrize("place", NAMED)
def test_a_name_has_so_many_characters(place: str) -> None:
    length = 63 if place == "block" else 64
    compiler.compile_text(NAMED[place].replace("#", "n" * length))
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(NAMED[place].replace("#", "n" * (length + 1)))
    assert [found.code for found in caught.value.diagnostics] == ["bad-name"]


def test_a_dimension_of_a_layer_has_a_limit() -> None:
    compiler.compile_text(HEAD + "model: [Linear(2 ** 31 - 1)]\n")
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(HEAD + "model: [Linear(2 ** 31)]\n")
    assert [found.code for found in caught.value.diagnostics] == ["bad-size"]
