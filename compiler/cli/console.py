"""What the command line writes to: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from compiler.cli.plain import text_lines, written
from compiler.cli.tables import FittingTable
from spec_schema.shown import escape, shown

WIDE = 100
"""Columns of a terminal that has room for what can be left out."""


class _Console(Console):
    """Shows nothing but what prints. Its texts come from specs and files, and so may those that are given as `Text`."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text for printing, in a cell or by itself. Its lines are ours."""
        return super().render_str("\n".join(map(shown, text.split("\n"))), **options)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the pieces of what is printed."""
        for piece in super().render(renderable, options):
            lines = "\n".join(map(escape, piece.text.split("\n")))
            yield piece if piece.control else piece._replace(text=lines)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, without the blanks that fill up lines where nobody sees them."""
        lines = None if self.is_terminal else self._plain(objects, options)
        if lines is not None:
            self.file.write(written(lines))
            return
        tables = [each for each in objects if isinstance(each, FittingTable)]
        if tables:
            options = {"crop": False, **options}  # a name may be wider than the console
        if self.is_terminal:
            super().print(*objects, **options)
        else:
            with self.capture() as captured:
                super().print(*objects, **options)
            self.file.write("\n".join(line.rstrip() for line in captured.get().split("\n")))
        for each in tables:
            if gone := each.left_out(self.width):
                err().print(f"note: no room for {', '.join(gone)} in {self.width} columns", soft_wrap=True)

    def _plain(self, objects: Sequence[Any], options: Mapping[str, Any]) -> list[str] | None:
        """Return the lines of one thing that is simple, None for others."""
        match objects:
            case [FittingTable() as found] if not options:
                return found.plain_lines(self)
            case [str() | Text() as found] if options.keys() <= {"style", "soft_wrap"} and options.get(
                "soft_wrap"
            ):
                return text_lines(found)
        return None

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def say(*lines: str) -> None:
    """Print lines of a result, each safe to show."""
    for line in lines:
        print(shown(line))


CHANGES = {"+": "green", "-": "red", "~": "yellow", "@": "cyan"}
"""The colours of lines that say what was added, removed or changed, by their first character."""


def say_changes(*lines: str, gutter: int = 0) -> None:
    """Print lines that are safe to show, in colours on a terminal; `gutter` columns are for titles."""
    if not in_color(out()):
        print(*lines, sep="\n")
        return
    for line in lines:
        text = Text(line)
        text.stylize("bold", 0, gutter)
        text.stylize(CHANGES.get(line[gutter : gutter + 1], ""), gutter)
        out().print(text, soft_wrap=True)


def out() -> Console:
    """Return the console of results. Nothing that it prints is read as markup: texts come from specs."""
    return _Console(markup=False, emoji=False, highlight=False)


def err() -> Console:
    """Return the console of errors, progress and remarks."""
    return _Console(stderr=True, markup=False, emoji=False, highlight=False)


def in_color(console: Console) -> bool:
    """Return whether colour may be used: on a terminal that has some, unless NO_COLOR says no."""
    return console.is_terminal and console.color_system is not None and not console.no_color


def table(
    *headings: str, numbers: Collection[str] = (), whole: Collection[str] = (), spare: Sequence[str] = ()
) -> Table:
    """Return an empty table. Columns in `numbers` are aligned to the right; those in `whole` are not wrapped.

    Where there is no room, the columns in `spare` go, one after the other.
    """
    made = FittingTable(
        box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", collapse_padding=True
    )
    for heading in headings:
        made.add_column(
            heading,
            justify="right" if heading in numbers else "left",
            no_wrap=heading in numbers or heading in whole,
            overflow="fold",
        )
    made.spare = spare
    return made


def facts(entries: Iterable[tuple[str | Text, ...]]) -> FittingTable:
    """Return a grid of titles, each with a text beside it, and maybe a second one that is not wrapped."""
    made = FittingTable.grid(padding=(0, 2))
    assert isinstance(made, FittingTable)
    made.add_column(style="bold", no_wrap=True)
    for entry in entries:
        made.add_row(*entry)
    for column in made.columns[1:]:
        column.overflow = "fold"
    for column in made.columns[2:]:
        column.no_wrap = True
    return made


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show on a terminal that something takes its time. It is no part of an answer that is kept."""
    if not err().is_terminal or os.environ.get("TERM") == "dumb":
        yield
        return
    past_the_record = _Console(file=sys.__stderr__, markup=False, emoji=False, highlight=False)
    with past_the_record.status(f"{shown(text)} ..."):
        yield
