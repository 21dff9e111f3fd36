"""What specs have in common is made once in a process, and nothing of one shows in another."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import compiler
from compiler import load
from compiler.catalogue.layers import layer_type
from compiler.infer import made
from compiler.infer.symbols import symbolic_sizes
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS, Limits

BLOCKS = "spec: 1\nblocks:\n  Up(width): [Linear(width), ReLU]\n"
MODEL = """
spec: 1
import: {blocks.yaml: [Up]}
inputs: {x: "float[batch, 8]"}
dims: {batch: 2}
model: [Up(16), "Linear(SIZE)"]
"""
SMALL = Limits(dimension=400)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "_made", {})
    monkeypatch.setattr(load, "_documents", {})


def compiled(size: int, blocks: str = BLOCKS, limits: Limits = DEFAULT_LIMITS) -> compiler.Artifact:
    text = MODEL.replace("SIZE", str(size))
    return compiler.compile_text(text, imports={"blocks.yaml": blocks}, limits=limits)


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """Note the first argument of each call of a function."""
    calls: list[Any] = []
    original = getattr(owner, name)

    def function(first: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(first)
        return original(first, *args, **kwargs)

    monkeypatch.setattr(owner, name, function)
    return calls


def test_an_import_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch, load, "read_bytes")
    compiled(3), compiled(4)
    assert calls.count(BLOCKS.encode()) == 1


def test_an_import_that_changed_is_read_again() -> None:
    first, second = compiled(3), compiled(3, BLOCKS.replace("ReLU", "Tanh"))
    assert "nn.ReLU()" in first.source
    assert "nn.Tanh()" in second.source


def test_what_a_refused_import_says_is_said_again() -> None:
    said = []
    for _ in range(2):
        with pytest.raises(SpecError) as refused:
            compiled(3, "spec: 1\nblocs: {}\n")
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_no_more_documents_are_kept_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "REMEMBERED", 3)
    for size in range(1, 6):
        compiled(size)
    assert len(load._documents) <= 3


def test_a_layer_of_torch_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(3)
    calls = counted(monkeypatch, nn.Linear, "__init__")
    compiled(3)
    assert not calls
    compiled(5)
    assert len(calls) == 1


def test_a_smaller_limit_holds_for_layers_that_were_made_before() -> None:
    compiled(500)
    with pytest.raises(SpecError, match="dimension"):
        compiled(500, limits=SMALL)


def test_no_more_layers_are_kept_than_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "MOST", 4)
    for size in range(1, 9):
        compiled(size)
    assert 0 < len(made._made) <= 4


def test_what_is_made_over_symbols_is_not_shared() -> None:
    linear = layer_type("Linear")
    sizes = {"in_features": 4, "out_features": 3}
    assert made.is_alike(linear, sizes)
    with symbolic_sizes({"batch": 4}) as symbols:
        assert not made.is_alike(linear, sizes)
    assert not made.is_alike(linear, {**sizes, "in_features": symbols["batch"]})
