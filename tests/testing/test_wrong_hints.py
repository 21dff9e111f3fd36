"""Hints that are wrong are refused, in words that say what to write, before anything is tried."""

from __future__ import annotations

from typing import Any

import broken
import pytest

from runtime.testing import HintError, Hints, Subject, check_layer, subject_of

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
