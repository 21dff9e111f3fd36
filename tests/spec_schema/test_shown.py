"""A text that is not ours, as a person is shown it."""

from __future__ import annotations

import copy
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from spec_schema.diagnostics import Diagnostic, Label, SpecError
from spec_schema.shown import LONGEST, ShownError, shown
from spec_schema.source import SourceFile, Span

anything = st.text(st.characters(exclude_categories=()), max_size=50)


@given(anything, st.sampled_from([1, 100]))
def test_it_prints_on_one_line_of_bounded_length_and_stays_as_it_is(text: str, times: int) -> None:
    line = shown(text * times)
    assert line.isprintable()
    assert len(line) <= LONGEST
    assert shown(line) == line


@given(anything.filter(str.isprintable))
def test_what_prints_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_what_does_not_print_is_written_out() -> None:
    given = "\x00\x1b\r\n\x7f\x85\x9b\u200b\u202e\u2028\u2029\u2066\ud800\ufeff"
    assert {unicodedata.category(char) for char in given} == {"Cc", "Cf", "Zl", "Zp", "Cs"}
    assert shown(given) == (r"\x00\x1b\x0d\n\x7f\x85\x9b\u200b\u202e\u2028\u2029\u2066\ud800\ufeff")


def test_of_a_long_one_both_ends_and_the_length() -> None:
    line = shown(f"begin{'x' * 1_000_000}end")
    assert line.startswith("beginx")
    assert "(1,000,008 characters)" in line
    assert line.endswith("xend")


def test_each_part_of_a_diagnostic_is_safe() -> None:
    bad, place = "a\x1b[2J\nb", Span(SourceFile("f\x1b[2J\ng", "text"), 0, 4)
    found = Diagnostic("code", bad, place, bad, (Label(place, bad),), (bad,), bad)
    for text in (found.message, found.label, found.labels[0].text, *found.notes, found.help or ""):
        assert text == r"a\x1b[2J\nb"
    assert str(SpecError([found])) == r"f\x1b[2J\ng:1:1: code: a\x1b[2J\nb"
    assert place.where == r"f\x1b[2J\ng:1"


def test_an_error_with_many_reasons_tells_the_first_ones() -> None:
    error = SpecError([Diagnostic("code", str(number), None) for number in range(1_000)])
    assert len(error.diagnostics) == 1_000
    assert str(error).split("\n")[-1] == "... and 980 more"


def test_an_error_of_several_lines_is_copied_as_a_pickle_does() -> None:
    error = ShownError("one\n", "  two\r")
    assert str(error) == "one\\n\n  two\\x0d"
    assert str(copy.copy(error)) == str(error)
