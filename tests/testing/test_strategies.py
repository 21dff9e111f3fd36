"""The strategies that users get: what they draw is valid, and they shrink to what a person would write."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, Optional

import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from torch import nn

import compiler
import runtime
from compiler.catalogue.annotations import fits
from runtime.testing import strategies
from runtime.testing.strategies.specs import bare_specs
from runtime.testing.subject import subject_of
from spec_schema.canonical import to_yaml

FEW = settings(max_examples=10)
LOOKING = settings(
    max_examples=1000, derandomize=True, database=None, suppress_health_check=list(HealthCheck), deadline=None
)


def compiled(**keys: Any) -> compiler.Artifact:
    return compiler.compile_text(to_yaml({"spec": 1, **keys}))


@pytest.mark.parametrize("layout", strategies.INPUTS)
@FEW
@given(st.data())
def test_parts_are_valid(layout: strategies.Layout, data: st.DataObject) -> None:
    inputs = {"x": strategies.INPUTS[layout]}
    compiled(inputs=inputs, model=[data.draw(strategies.layers(layout))])
    body = data.draw(strategies.programs(layout))
    compiled(inputs=inputs, blocks={"Block": body}, model=["Block"])
    definitions, call = data.draw(strategies.blocks(layout))
    compiled(inputs=inputs, blocks=definitions, model=[call])


@FEW
@given(strategies.layers("image", keep=True))
def test_a_layer_that_keeps_the_shape(layer: Any) -> None:
    made = compiled(inputs={"x": strategies.INPUTS["image"]}, model=[layer])
    assert made.inferred.output.shape == made.inferred.inputs["x"].shape


@settings(max_examples=5)
@given(strategies.specs())
def test_a_spec_runs(document: strategies.Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    strategies.call(runtime.build(artifact), artifact, strategies.sample_inputs(artifact))


ANNOTATIONS: dict[Any, object] = {
    int: 1,
    float: 0.5,
    bool: False,
    None: None,
    Literal["a", "b"]: "a",
    int | None: None,
    Optional[int]: None,  # noqa: UP045
    int | tuple[int, int]: 1,
    tuple[int, float]: [1, 0.5],
    tuple[int, ...]: [1],
    list[int]: [1],
    Sequence[bool]: [False],
    Iterable[int]: [1],
    Annotated[int, "a size"]: 1,
    str | int: 1,
}


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_arguments_of_an_annotation(annotation: Any) -> None:
    """Whatever is drawn fits the annotation, as a spec would be told; the simplest is what one writes first."""
    strategy = strategies.arguments(annotation)
    assert strategy is not None
    for_all(strategy, lambda value: fits(value, annotation))
    assert find(strategy, lambda value: True, settings=LOOKING) == ANNOTATIONS[annotation]


def for_all(strategy: st.SearchStrategy[Any], holds: Callable[[Any], bool]) -> None:
    @FEW
    @given(strategy)
    def check(value: Any) -> None:
        assert holds(value)

    check()


@pytest.mark.parametrize(
    "annotation", [str, Callable[[int], int], nn.Module, torch.dtype, Any, "int", list, dict]
)
def test_annotations_that_say_too_little(annotation: Any) -> None:
    assert strategies.arguments(annotation) is None


def test_what_is_public_is_there() -> None:
    assert set(strategies.__all__) <= set(vars(strategies))
    for name in strategies.__all__:
        if name not in ("Document", "INPUTS", "Layout", "TrainedSpec"):
            assert name in (strategies.__doc__ or ""), f"{name} is not explained"
            assert getattr(strategies, name).__doc__
    assert set(strategies.INPUTS) == set(typing.get_args(strategies.Layout))


SMALL = 20
"""Lines of the largest spec that 20 searches ended in; at the median they began with 35."""


@pytest.mark.parametrize("wanted", ["BatchNorm", "'repeat'"])
def test_specs_shrink(wanted: str) -> None:
    document = find(bare_specs(), lambda drawn: wanted in str(drawn), settings=LOOKING)
    text = to_yaml(document)
    assert len(text.splitlines()) <= SMALL, text
    compiler.compile_text(text)


def test_examples_of_a_layer_shrink() -> None:
    """The smallest sizes, and no argument that is not needed."""
    found = find(
        strategies.cases(subject_of(nn.Conv2d)),
        lambda case: case.written["out_channels"] > 1,
        settings=LOOKING,
    )
    assert dict(found.written) == {"out_channels": 2, "kernel_size": 1}
    assert sum(found.inputs["input"].shape) <= 7
    assert found.seed == 0
