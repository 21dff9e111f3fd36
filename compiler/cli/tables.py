"""Tables that fit: what is too wide loses columns first, and words are never broken, so that names can be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from compiler.cli.plain import GAP, columns_of, table_lines
from spec_schema.shown import shown

WIDER = 100
"""Blanks that a table may take beside what is in it, so that rich does not make it narrower."""


class FittingTable(Table):
    """A table that is as wide as the console, or as what may not be broken."""

    spare: Sequence[str] = ()
    """The headings of columns that may go, in the order in which they do."""

    def add_row(self, *cells: object, **options: object) -> None:
        """Add a row. A text in it is one line."""
        safe = (shown(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*safe, **options)  # type: ignore[arg-type]

    def left_out(self, width: int) -> list[str]:
        """Return the headings of the columns for which there is no room."""
        kept = list(self.columns)
        gone: list[str] = []
        for heading in self.spare:
            if _least(kept) <= width:
                break
            gone += [heading for each in kept if each.header == heading]
            kept = [each for each in kept if each.header != heading]
        return gone

    def plain_lines(self, console: Console) -> list[str] | None:
        """Return the lines of the table, None if it is not simple: it has no rows, or no room for all columns."""
        if not self.rows or self.left_out(console.width):
            return None
        return table_lines(console, self.columns, _shared(self.columns, console.width), self.show_header)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the pieces of the columns for which there is room."""
        gone = self.left_out(options.max_width)
        kept = [each for each in self.columns if each.header not in gone]
        if not gone and _most(kept) <= options.max_width:
            return super().__rich_console__(console, options)
        made = copy(self)
        widths = _shared(kept, options.max_width)
        made.columns = [
            replace(each, width=width, _index=at)
            for at, (each, width) in enumerate(zip(kept, widths, strict=True))
        ]
        return super(FittingTable, made).__rich_console__(console, options.update_width(sum(widths) + WIDER))


def _shared(columns: Sequence[Column], width: int) -> list[int]:
    """Return a width for each column, of which the widest give way to what is too much."""
    widths, least = list(map(_longest_line, columns)), list(map(_longest_word, columns))
    for _ in range(max(_most(columns) - width, 0)):
        slack = [(size, -at) for at, size in enumerate(widths) if size > least[at]]
        if not slack:
            break
        widths[-max(slack)[1]] -= 1
    return widths


def _most(columns: Sequence[Column]) -> int:
    return sum(map(_longest_line, columns)) + GAP * (len(columns) - 1)


def _least(columns: Sequence[Column]) -> int:
    return sum(map(_longest_word, columns)) + GAP * (len(columns) - 1)


def _lines(column: Column) -> Iterator[str]:
    for cell in (column.header, *column.cells):
        yield from (cell.plain if isinstance(cell, Text) else str(cell)).split("\n")


def _longest_line(column: Column) -> int:
    return max(map(columns_of, _lines(column)))


def _longest_word(column: Column) -> int:
    """Return how narrow a column may be: in one that is whole, nothing is broken."""
    if column.no_wrap:
        return _longest_line(column)
    return max((columns_of(word) for line in _lines(column) for word in line.split()), default=0)
