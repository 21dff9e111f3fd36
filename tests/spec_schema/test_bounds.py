"""Compile-time values stay small, and quick to compute: what would not is refused before it is computed."""

from __future__ import annotations

import time

import pytest

from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.scalars import Scalar
from spec_schema.source import SourceFile, Span

MUCH = 10
"""Seconds of CPU: what is refused takes less than one, and minutes or more if it is computed."""


def value(text: str, **names: object) -> object:
    file = SourceFile("spec.yaml", text)
    scalar = Scalar(text, Span(file, 0, len(text)), "plain", text)
    return evaluate(parse_expression(scalar), names)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2 ** 100", "integer-range"),
        ("2 ** 53", "integer-range"),
        ("(2 ** 52) ** 64", "integer-range"),
        ("'a' * 10 ** 9", "integer-range"),
        ("10 ** 9 * [0]", "integer-range"),
        ("'%1000000000d' % 1", "integer-range"),
        ("round(5, -10 ** 9)", "integer-range"),
        ("sum([[0] * 1000] * 1000, [])", "integer-range"),
        ("range(10 ** 15)", "integer-range"),
        ("[[[0] * 100] * 100] * 100", "integer-range"),
        ("[len([0] * 90000) for i in range(90000)]", "too-many-steps"),
        ("[i for i in range(90000) for j in range(90000)]", "too-many-steps"),
        ("(-8) ** 0.5", "evaluation"),
        ("float('nan')", "evaluation"),
        ("1e308 * 10", "evaluation"),
        ("1 / 0", "evaluation"),
        ("1 % 0", "evaluation"),
        ("[1, 2][2]", "evaluation"),
        ("{'a': 1}['b']", "evaluation"),
        ("1 + 'a'", "evaluation"),
        ("min()", "evaluation"),
        ("log(0)", "evaluation"),
        ("int('x')", "evaluation"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    started = time.process_time()
    with pytest.raises(SpecError) as caught:
        value(text)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    assert time.process_time() - started < MUCH


def test_a_list_that_holds_one_list_again_and_again_counts_it_each_time() -> None:
    names: dict[str, object] = {"v": 1}
    for _ in range(15):
        names["v"] = value("[v, v]", **names)
    with pytest.raises(SpecError, match="too large"):
        value("[v, v]", **names)


def test_a_list_is_not_nested_without_end() -> None:
    names: dict[str, object] = {"v": 1}
    for _ in range(DEFAULT_LIMITS.nesting):
        names["v"] = value("[v]", **names)
    with pytest.raises(SpecError, match="nested"):
        value("[v]", **names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 ** 52", 2**52),
        ("-2 ** 0.5", -(2**0.5)),
        ("[0] * 3 + [1]", [0, 0, 0, 1]),
        ("sum([i * i for i in range(4)])", 14),
        ("sum([0.5, 1], 1)", 2.5),
        ("round(2.567, 2)", 2.57),
        ("7 % 4", 3),
        ("[a for a, b in zip([1, 2], [3, 4]) if b > 3]", [2]),
        ("'a' * 3", "aaa"),
    ],
)
def test_what_is_computed(text: str, expected: object) -> None:
    assert value(text) == expected


def test_the_values_behind_a_failure_are_shown() -> None:
    with pytest.raises(SpecError) as caught:
        value("64 // heads", heads=0, other=1)
    assert caught.value.diagnostics[0].notes == ("heads = 0",)


def test_steps_are_counted() -> None:
    assert DEFAULT_LIMITS.evaluation_steps == 100_000
    assert value("sum([1 for i in range(10000)])") == 10000
