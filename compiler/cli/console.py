"""What the command line writes to: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 100
"""Columns of a terminal that has room for what can be left out."""


class _Console(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """Print, without the blanks that fill up lines where nobody sees them."""
        if self.is_terminal:
            super().print(*objects, **options)
            return
        with self.capture() as captured:
            super().print(*objects, **options)
        self.file.write("\n".join(line.rstrip() for line in captured.get().split("\n")))

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def out() -> Console:
    """Return the console of results. Nothing that it prints is read as markup: texts come from specs."""
    return _Console(markup=False, emoji=False, highlight=False)


def err() -> Console:
    """Return the console of errors, progress and remarks."""
    return _Console(stderr=True, markup=False, emoji=False, highlight=False)


def in_color(console: Console) -> bool:
    """Whether colour may be used: on a terminal that has some, unless NO_COLOR says no."""
    return console.is_terminal and console.color_system is not None and not console.no_color


def table(*headings: str, numbers: Collection[str] = (), whole: Collection[str] = ()) -> Table:
    """Return an empty table. Columns in `numbers` are aligned to the right; those in `whole` are not wrapped."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", collapse_padding=True)
    for heading in headings:
        made.add_column(
            heading,
            justify="right" if heading in numbers else "left",
            no_wrap=heading in numbers or heading in whole,
            overflow="ellipsis" if heading in whole else "fold",
        )
    return made


def facts(entries: Iterable[tuple[str | Text, ...]]) -> Table:
    """Return a grid of titles, each with a text beside it, and maybe a second one that is not wrapped."""
    made = Table.grid(padding=(0, 2))
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
    """Show on a terminal that something takes its time."""
    console = err()
    if not console.is_terminal or os.environ.get("TERM") == "dumb":
        yield
        return
    with console.status(f"{text} ..."):
        yield
