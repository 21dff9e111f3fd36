"""What the command line prints of texts that are not ours."""

from __future__ import annotations

import pytest
from rich.text import Text

from compiler.cli.console import facts, out, say, table
from spec_schema.shown import LONGEST

BAD = "a\x1b[2J\u202e\x9b"
SAFE = r"a\x1b[2J\u202e\x9b"


def test_a_text_in_colour_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    out().print(Text(BAD, style="bold"))
    assert capsys.readouterr().out == f"{SAFE}\n"


def test_a_text_is_safe_and_of_a_bounded_length(capsys: pytest.CaptureFixture[str]) -> None:
    out().print(f"{BAD}\nb", soft_wrap=True)
    out().print("x" * 10_000, soft_wrap=True)
    first, second, third, _ = capsys.readouterr().out.split("\n")
    assert (first, second) == (SAFE, "b")
    assert len(third) <= LONGEST


def test_a_cell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("title")
    rows.add_row("a\nb")
    out().print(rows)
    out().print(facts([("a\nb", "c")]))
    assert capsys.readouterr().out.count("a\\nb") == 2


def test_a_line_of_a_result_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb", BAD)
    assert capsys.readouterr().out == f"a\\nb\n{SAFE}\n"
