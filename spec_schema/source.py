"""Source text with positions: every error of Blockprint can point into one of these files."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from spec_schema.shown import shown


@dataclass(frozen=True)
class SourceFile:
    """A text that a diagnostic can quote.

    `name` is what a person is shown: the path as the person gave it, or `--set` for a value from the
    command line.
    """

    name: str
    text: str = field(repr=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        starts.extend(offset + 1 for offset, char in enumerate(self.text) if char == "\n")
        return starts

    @property
    def line_count(self) -> int:
        return len(self._line_starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """Return the character offset of a 1-based line and column."""
        return self._line_starts[line - 1] + column - 1

    def line(self, number: int) -> str:
        """Return the text of a 1-based line, without its line break."""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] - 1 if number < self.line_count else len(self.text)
        return self.text[start:end].removesuffix("\r")


@dataclass(frozen=True)
class Span:
    """The characters `start` to `end` (exclusive) of a source file."""

    file: SourceFile
    start: int
    end: int

    def __str__(self) -> str:
        line, column = self.file.position(self.start)
        return f"{shown(self.file.name)}:{line}:{column}"

    @property
    def where(self) -> str:
        """`file:line`, as a person is shown it."""
        return f"{shown(self.file.name)}:{self.line}"

    @property
    def line(self) -> int:
        """The 1-based line on which the span starts."""
        return self.file.position(self.start)[0]

    @property
    def text(self) -> str:
        return self.file.text[self.start : self.end]

    def part(self, start: int, end: int) -> Span:
        """Return the span of the characters `start` to `end` of this span's text."""
        return Span(self.file, self.start + start, self.start + end)
