"""Places in a text as editors count them: lines from 0, and in a line units of UTF-16."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from lsprotocol.types import Position, Range, TextEdit

from compiler.rewriting.edits import Edit
from spec_schema.source import SourceFile, Span

_BEYOND = 0xFFFF
"""The last character that is one unit."""


def units(text: str) -> int:
    """Return how many units of UTF-16 a text has."""
    return len(text) if text.isascii() else len(text) + sum(ord(char) > _BEYOND for char in text)


def characters(text: str, count: int) -> int:
    """Return how many characters the first units of a text are; all of them where it has fewer."""
    if text.isascii():
        return min(count, len(text))
    for at, char in enumerate(text):
        if count <= 0:
            return at
        count -= 2 if ord(char) > _BEYOND else 1
    return len(text)


@dataclass(frozen=True)
class Places:
    """The places of one text."""

    text: str

    @cached_property
    def file(self) -> SourceFile:
        return SourceFile("", self.text)

    def position(self, offset: int) -> Position:
        """Return the place of a character."""
        line, column = self.file.position(min(max(offset, 0), len(self.text)))
        return Position(line - 1, units(self.file.line(line)[: column - 1]))

    def offset(self, position: Position) -> int:
        """Return the character that stands at a place; behind the end of a line it is that end."""
        if position.line >= self.file.line_count:
            return len(self.text)
        start = self.file.offset(position.line + 1, 1)
        return start + characters(self.file.line(position.line + 1), position.character)

    def range(self, start: int, end: int) -> Range:
        """Return the places of a part of the text."""
        return Range(self.position(start), self.position(end))

    def edits(self, edits: list[Edit]) -> list[TextEdit]:
        """Return edits as an editor makes them."""
        return [TextEdit(self.range(edit.start, edit.end), edit.text) for edit in edits]


def range_of(span: Span) -> Range:
    """Return the places of a span in its own file."""
    return Places(span.file.text).range(span.start, span.end)


def path_of(uri: str) -> Path | None:
    """Return the file of a document, None for one that is no file yet."""
    parts = urlsplit(uri)
    return Path(url2pathname(unquote(parts.path))) if parts.scheme == "file" else None


def uri_of(name: str) -> str:
    """Return the address of a file that is named by a path."""
    return Path(name).absolute().as_uri()
