"""The artifact is a value: frozen records all the way down, equal by what it is made of, short in print."""

from __future__ import annotations

import ast
import copy
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import compiler
from compiler.artifact import Artifact
from compiler.infer.context import Context
from compiler.other_devices import place
from spec_schema.limits import Limits

ROOT = Path(__file__).parents[2]
SPEC = """\
spec: 1
name: two
inputs: {x: "float32[batch, 4]"}
blocks:
  Unit(width):
    layers: {fc: Linear(width), norm: LayerNorm}
    buffers: {scale: {value: ones(2)}}
    forward: |
      return norm(fc(x)) if training else fc(x) * scale.sum()
model: [{repeat: 2, of: Unit(8)}, Linear(2)]
init: [{Linear.weight: normal(std=0.02)}]
"""
PLUGIN = """\
from torch import Tensor

from compiler.plugins import operation

@operation
def twice(x: Tensor) -> Tensor:
    return 2 * x
"""


def compiled(text: str = SPEC, **options: Any) -> Artifact:
    return compiler.compile_text(text, **options)


def reachable(value: object, seen: dict[int, object]) -> Iterator[object]:
    """Yield each record of ours that can be reached from a value through records, mappings and sequences."""
    if id(value) in seen or isinstance(value, ast.AST):
        return
    seen[id(value)] = value
    inside: list[object] = []
    if isinstance(value, Mapping):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, tuple | list | set | frozenset):
        inside = list(value)
    elif type(value).__module__.startswith(("compiler.", "spec_schema.")):
        yield value
        inside = [*getattr(value, "__dict__", {}).values()]
    for each in inside:
        yield from reachable(each, seen)


OPEN = {"Registry", "Scope"}
"""Filled before the spec is resolved, or while it is: a scope holds the blocks that refer to it."""


@pytest.mark.parametrize("text", [SPEC, (ROOT / "specs/zoo/gpt2.yaml").read_text()])
def test_all_that_an_artifact_holds_is_frozen(text: str) -> None:
    made = compiled(text)
    records = list(reachable(made, {}))
    assert len(records) > 100
    assert not [each for each in records if isinstance(each, Context)], (
        "the engine is gone when a spec is compiled"
    )
    classes = {type(each) for each in records if dataclasses.is_dataclass(each)}
    mutable = {cls.__name__ for cls in classes if not cls.__dataclass_params__.frozen}  # type: ignore[attr-defined]
    assert mutable == OPEN


def test_artifacts_of_one_spec_are_equal() -> None:
    one, two = compiled(), compiled()
    assert one is not two
    assert one == two
    assert hash(one) == hash(two)
    assert one == copy.copy(one) == copy.deepcopy(one)
    assert {one: 1}[two] == 1
    assert one != SPEC


@pytest.mark.parametrize(
    "other",
    [
        lambda: compiled(SPEC.replace("0.02", "0.01")),
        lambda: compiled(SPEC.replace("repeat: 2", "repeat: 3")),
        lambda: compiled(limits=Limits(modules=1000)),
        lambda: place(compiled(), {"/": "cpu"}),
    ],
    ids=["rule", "layers", "limits", "device"],
)
def test_artifacts_that_differ_are_not_equal(other: Any) -> None:
    assert compiled() != other()


def test_artifacts_of_plugins_of_one_name_are_not_equal(tmp_path: Path) -> None:
    made = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "mine.py").write_text(PLUGIN)
        text = 'spec: 1\nrequires: [mine]\ninputs: {x: "float[batch, 2]"}\nmodel: [twice]\n'
        made.append(compiled(text, plugins=[str(folder / "mine.py")]))
    assert made[0] == made[0]
    assert made[0] != made[1]


def test_an_artifact_prints_on_one_short_line() -> None:
    made = compiled()
    parameters = sum(row.elements for row in made.plan.parameters)
    assert repr(made) == f"<Artifact {made.name}: {len(made.plan.rows)} tensors, {parameters} parameters>"
    assert len(repr(made)) < 80


def test_what_an_artifact_is_read_for_changes_nothing() -> None:
    made = compiled()
    before = made.key
    assert made.source
    assert made.training is None
    assert made.inferred.value is not None
    assert made.key == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]
