"""Hints that are wrong are refused, in words that say what to write, before anything is tried."""

from __future__ import annotations

from typing import Any

import broken
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from compiler.plugins import layer
from runtime.testing import HintError, Hints, Subject, check_layer, subject_of
from runtime.testing.strategies.cases import tried_forms


@layer
class BoundedConvolution(nn.Module):
    """A convolution by another name: its images have batches."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.inner = spectral_norm(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@layer
class Messages(nn.Module):
    """Two inputs, of forms that differ."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(in_features))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return edges @ (x * self.weight)


INPUTS = {"x": "float[batch, in_features]"}

FORMS = (
    ({"inputs": "float[3]"}, "hints.inputs takes a mapping from inputs to types, not 'float[3]'"),
    ({"inputs": {"x": 3}}, "hints.inputs takes a type or a list of types for `x`, not 3"),
    ({"output": 3}, "hints.output takes a type or a list of types, not 3"),
    ({"where": "units > 1"}, "hints.where takes a list of conditions, not 'units > 1'"),
    (
        {"arguments": {"units": 3}},
        "hints.arguments takes a list of values, or a strategy, for `units`, not 3",
    ),
    (
        {"arguments": {"units": []}},
        "hints.arguments takes a list of values, or a strategy, for `units`, not []",
    ),
    ({"sizes": {"batch": 3}}, "hints.sizes takes the smallest and the largest size for `batch`, not 3"),
    (
        {"sizes": {"batch": (3, 2)}},
        "hints.sizes takes the smallest and the largest size for `batch`, not (3, 2)",
    ),
    ({"values": {"x": 2}}, "hints.values takes the smallest value and a bound for `x`, not 2"),
    ({"exceptions": {"batch": ""}}, "hints.exceptions takes a reason for `batch`, not ''"),
)

NAMES = (
    ({"inputs": {"X": "float[3]"}}, "hints.inputs name `X`; did you mean `x`?"),
    ({"inputs": {"y": "float[3]"}}, "hints.inputs name `y`; there are: x"),
    ({"inputs": {"x": "flot[batch, 3]"}}, "`flot[batch, 3]`: there is no dtype `flot`"),
    ({"inputs": {"x": "float[batch, 3"}}, "`float[batch, 3`: this `[` is never closed"),
    ({"inputs": {"x": "float[batch, in_features - 9]"}}, "no arguments and sizes were found"),
    ({"output": "float[batch, unit]"}, "hints.output name `unit`; did you mean `units`?"),
    ({"arguments": {"unit": [1]}}, "hints.arguments name `unit`; did you mean `units`?"),
    ({"arguments": {"units": ["a"]}}, "hints.arguments: `units` takes an integer, not 'a'"),
    ({"sizes": {"btch": (1, 2)}}, "hints.sizes name `btch`; did you mean `batch`?"),
    ({"sizes": {"units": (1, 2)}}, "hints.sizes name the argument `units`: it goes into hints.arguments"),
    ({"values": {"y": (0, 1)}}, "hints.values name `y`; there are: x"),
    ({"values": {"x": (0, "unit")}}, "hints.values name `unit`; did you mean `units`?"),
    ({"where": ["unit > 1"]}, "hints.where name `unit`; did you mean `units`?"),
    ({"where": ["units >"]}, "`units >`: this ends in the middle"),
    ({"where": ["units + 'a'"]}, "hints.where: `+` does not take a whole number and a text"),
    ({"where": ["units > 9"]}, "no arguments and sizes were found that the constructor and the hints allow"),
    ({"exceptions": {"gradient": "no"}}, "hints.exceptions name `gradient`; did you mean `gradients`?"),
    ({"exceptions": {"batch if unit": "no"}}, "hints.exceptions name `unit`; did you mean `units`?"),
)


@pytest.mark.parametrize(("given", "message"), FORMS, ids=lambda each: str(each)[:50])
def test_another_form_is_refused_where_it_is_written(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as raised:
        Hints(**given)
    assert str(raised.value) == message


@pytest.mark.parametrize(("given", "message"), NAMES, ids=lambda each: str(each)[:50])
def test_what_does_not_fit_the_layer_is_refused(given: dict[str, Any], message: str) -> None:
    dense = subject_of(broken.Dense)
    with pytest.raises(HintError) as raised:
        list(
            check_layer(Subject(dense.layer, Hints(**{"inputs": INPUTS, **given}), dense.plugin), examples=2)
        )
    assert str(raised.value).startswith(f"Dense: {message}")


def forms(layer: type[nn.Module]) -> list[str]:
    return [str(each) for each in tried_forms(subject_of(layer))]


def test_without_hints_forms_are_found_by_trial() -> None:
    """Those of any size: that a layer runs where all dimensions are equal says nothing."""
    assert forms(broken.Dense)[:2] == ["x: float[batch, in_features]", "x: float[batch, size1, in_features]"]
    assert forms(nn.Embedding)[0] == "input: int64[batch, size1]"
    assert forms(BoundedConvolution) == ["x: float[batch, in_channels, size2, size3]"]


def test_where_no_form_is_found_hints_are_asked_for() -> None:
    message = (
        r"Messages ran on none of the inputs that were tried: RuntimeError: .*\n"
        r"say what it takes, for example @layer\(hints=Hints\(inputs=\{'x': 'float\[batch, in_features\]', 'edges': "
    )
    with pytest.raises(HintError, match=message):
        list(check_layer(subject_of(Messages)))


def test_right_hints_are_not_refused() -> None:
    hints = Hints(
        inputs=INPUTS,
        output="float[batch, units]",
        arguments={"units": [2, 3]},
        sizes={"batch": (2, 3)},
        values={"x": (0, "units")},
        where=["units < 3", "x"],
        exceptions={"batch": "a reason", "gradcheck if units == 3": "another"},
    )
    dense = subject_of(broken.Dense)
    first = next(check_layer(Subject(dense.layer, hints, dense.plugin), examples=2))
    assert first.examples == 2
