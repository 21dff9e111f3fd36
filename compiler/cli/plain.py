"""What is printed where nobody looks at a terminal: lines of text, without a style to be found for each piece.

Rich takes half a millisecond for each row of a table, and a model has thousands. What it would lay out otherwise, such
as a table that is too wide, or a text with tabs, is left to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column
from rich.text import Text

from spec_schema.shown import shown

GAP = 2
"""Blanks between two columns."""


def text_lines(printed: str | Text) -> list[str] | None:
    """Return the lines of one text, None if they are not simple."""
    lines = printed.plain.split("\n") if isinstance(printed, Text) else [*map(shown, printed.split("\n"))]
    return lines if _are_simple(lines) else None


def table_lines(
    console: Console, columns: Sequence[Column], widths: Sequence[int], heading: bool
) -> list[str] | None:
    """Return the lines of a table whose columns are so wide, None if they are not simple."""
    cells = [[_lines(cell) for cell in column.cells] for column in columns]
    if not all(_are_simple(lines) for column in cells for lines in column):
        return None
    right = [column.justify == "right" for column in columns]
    found = []
    if heading:
        titles = [
            _wrapped(console, _lines(column.header), width)
            for column, width in zip(columns, widths, strict=True)
        ]
        most = max(map(len, titles))
        found += [
            _joined(line, widths, right)
            for line in zip(*([""] * (most - len(lines)) + lines for lines in titles), strict=True)
        ]
        found.append("─" * (sum(widths) + GAP * (len(widths) - 1)))
    for row in zip(*cells, strict=True):
        wrapped = [_wrapped(console, lines, width) for lines, width in zip(row, widths, strict=True)]
        found += [_joined(line, widths, right) for line in zip_longest(*wrapped, fillvalue="")]
    return found


def columns_of(line: str) -> int:
    """Return how many columns of a terminal a line takes."""
    return len(line) if line.isascii() and line.isprintable() else cell_len(line)


def _lines(cell: object) -> list[str]:
    return (cell.plain if isinstance(cell, Text) else str(cell)).split("\n")


def _wrapped(console: Console, lines: list[str], width: int) -> list[str]:
    """Return lines that are no wider."""
    if all(columns_of(line) <= width for line in lines):
        return lines
    return [part.plain for line in lines for part in Text(line).wrap(console, width, overflow="fold")]


def _joined(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Return one line of a table."""
    return (" " * GAP).join(_padded(*each) for each in zip(cells, widths, right, strict=True))


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - columns_of(text))
    return blanks + text if right else text + blanks


def _are_simple(lines: Iterable[str]) -> bool:
    """Return whether lines have no signs that are laid out, such as tabs."""
    return all(line.isprintable() for line in lines)


def written(lines: Iterable[str]) -> str:
    """Return lines as they are written, without the blanks at their ends."""
    return "".join(f"{line.rstrip()}\n" for line in lines)
