"""Selectors: what a text names, and what is no selector."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import compiler
from spec_schema.diagnostics import SpecError
from spec_schema.selectors import parse_selector

NUMBERS = range(130)


def numbers(text: str) -> list[int]:
    """Return the numbers that a selector of one component names."""
    selector = parse_selector(text, None)
    return [number for number in NUMBERS if selector.names([("h", ""), (str(number), "")])]


def named(text: str, *names: str) -> list[str]:
    selector = parse_selector(text, None)
    return [name for name in names if selector.names([(name, "")])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h.[10-12]", [10, 11, 12]),
        ("h.[0-3]", [0, 1, 2, 3]),
        ("h.[7]", [7]),
        ("h.[5-5]", [5]),
        ("h.[8-10]", [8, 9, 10]),
        ("h.[1-35]", list(range(1, 36))),
        ("h.[99-101]", [99, 100, 101]),
    ],
)
def test_a_range_is_one_of_numbers(text: str, expected: list[int]) -> None:
    assert numbers(text) == expected


@given(st.integers(0, 129), st.integers(0, 129))
def test_any_range_is_one_of_numbers(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert numbers(f"h.[{low}-{high}]") == list(range(low, high + 1))


def test_a_range_is_a_part_of_a_name() -> None:
    assert named("layer[9-11]", "layer1", "layer9", "layer10", "layer11", "layer12") == [
        "layer9",
        "layer10",
        "layer11",
    ]


def test_letters_are_one_of_several() -> None:
    assert named("[ac]", "a", "b", "c", "ac") == ["a", "c"]
    assert named("[a-c]x", "ax", "cx", "dx") == ["ax", "cx"]
    assert named("x[!a-c]", "xa", "xd", "x1") == ["xd", "x1"]


@pytest.mark.parametrize(
    ("text", "note", "way_out"),
    [
        ("h.[13]", "`[13]` is neither a range", "write `{1,3}` for one of several, or `13`"),
        ("h.[0-35-7]", "`[0-35-7]` is neither a range", "`{a,b,10}`"),
        ("h.[a1]", "`[a1]` is neither a range", "`{a,b,10}`"),
        ("h.[!0-3]", "`[!0-3]` is neither a range", "`[4-11]`"),
        ("h.[!10-12]", "`[!10-12]` is neither a range", "`[4-11]`"),
        ("h.[]", "`[]` is neither a range", "`{a,b,10}`"),
        ("h.[3-1]", "the range `[3-1]` is empty", "dotted components"),
        ("h.[c-a]", "the range `[c-a]` is empty", "dotted components"),
        ("h.[A-z]", "other signs than letters", "dotted components"),
        ("h.[01-12]", "`01` begins with a zero", "`[1-12]`"),
        ("h.[0-1000000000]", "more than 9 digits", "dotted components"),
        ("h.{0-3,7}", "`0-3` in braces is no range of numbers", "`[0-3]`"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused(text: str, note: str, way_out: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_selector(text, None)
    found = caught.value.diagnostics[0]
    assert found.code == "bad-selector"
    assert note in found.notes[0]
    assert way_out in (found.help or "")


DEEP = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model:
  - h: {repeat: 13, of: Linear(4)}
"""


def test_a_range_in_every_section_is_one_of_numbers() -> None:
    rules = """
init: [{"h.[10-12].bias": 0.5}]
freeze: ["h.[10-12].bias"]
share: {one: ["h.[10-12].weight"]}
placement: [{"h.[0-9]": cpu}, {"h.[10-12]": "cuda:0"}]
"""
    plan = compiler.compile_text(DEEP + rules).plan
    last = {f"h.{number}.bias" for number in (10, 11, 12)}
    assert {row.name for row in plan.parameters if not row.trainable} == last
    assert {r.name for r in plan.rows if r.initialisation and r.initialisation.text == "0.5"} == last
    assert plan.by_name["h.10.weight"].names == ("h.10.weight", "h.11.weight", "h.12.weight")
    assert {row.name for row in plan.rows if row.device == "cuda:0"} == {*last, "h.10.weight"}
