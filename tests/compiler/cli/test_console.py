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


# Tables that are too wide.

NAME = "encoder.layers.11.attention.self.query_projection.weight"


def printed(capsys: pytest.CaptureFixture[str], rows: object) -> tuple[list[str], str]:
    out().print(rows)
    found = capsys.readouterr()
    return found.out.splitlines(), found.err


@pytest.mark.parametrize("width", [100, 80, 60, 20])
def test_columns_go_first_and_names_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = table("name", "shape", "mean", "kind", numbers=["mean"], whole=["shape"], spare=["mean", "kind"])
    rows.add_row(NAME, "[64, 20]", "-0.0002", "frozen")
    lines, note = printed(capsys, rows)
    cells = {100: [NAME, "[64, 20]", "-0.0002", "frozen"], 80: [NAME, "[64, 20]", "frozen"]}
    assert lines[2].split("  ") == cells.get(width, [NAME, "[64, 20]"])
    assert len(lines) == 3
    gone = {100: "", 80: "mean"}.get(width, "mean, kind")
    assert note == (f"note: no room for {gone} in {width} columns\n" if gone else "")


@pytest.mark.parametrize("width", [80, 60, 40])
def test_text_is_wrapped_between_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = table("property", "promise")
    promise = "all tensors are parameters or buffers, and move where the layer does, whatever that is"
    rows.add_row("registration", promise)
    lines, _ = printed(capsys, rows)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines[2:]).split()) == f"registration {promise}"


def test_a_path_stays_whole_beside_a_title(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = f"out/{'a' * 60}.safetensors:"
    lines, _ = printed(capsys, facts([("model", f"{path} weights"), ("log", "out/log.csv: 12 epochs")]))
    assert lines == [f"model  {path}", "       weights", "log    out/log.csv: 12 epochs"]
