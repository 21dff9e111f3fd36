"""Where each character of a decoded scalar stands in the file.

YAML strips indentation, folds lines and decodes escapes. This module walks the source of one scalar again
and notes, for each character of the decoded text, the characters of the file that it came from. The walk is
believed only if it arrives at exactly the text that the parser arrived at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

Style: TypeAlias = Literal["plain", "single", "double", "literal", "folded"]
Places: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""For each decoded character, where it starts and where it ends in the file."""

_BREAK = re.compile(r"\r\n|\r|\n")
_BREAK_AND_INDENT = re.compile(r"(\r\n|\r|\n)[ \t]*")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_CODED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_ESCAPES = {
    **{"0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"},
    **{"e": "\x1b", " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0"},
    **{"L": "\u2028", "P": "\u2029"},
}
_PIECES = {
    "plain": re.compile(r"[^ \r\n]+|[ ]+|[\r\n]"),
    "single": re.compile(r"[^' \t\r\n]+|''|[ \t]+|[\r\n]"),
    "double": re.compile(r"[^\\ \t\r\n]+|\\.|[ \t]+|[\r\n]", re.DOTALL),
}


def decoded_places(source: str, start: int, end: int, style: Style, text: str) -> Places | None:
    """Return where each character of `text` stands, or None where that cannot be known for certain.

    `start` and `end` bound the scalar in `source`, quotes and block indicator included.
    """
    quotes = style in ("single", "double")
    inner, outer = start + quotes, end - quotes
    if style not in ("literal", "folded"):
        if source[inner:outer] == text and not _BREAK.search(text):
            return range(inner, outer), range(inner + 1, outer + 1)
        walk = _walk_flow(source, inner, outer, style)
    else:
        walk = _walk_block(source, start, style, text)
    return walk.places(text)


class _Walk:
    """The decoded characters so far, each with its place."""

    def __init__(self) -> None:
        self.chars: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, char: str, start: int, end: int) -> None:
        low = "\udc00" <= char <= "\udfff"
        if low and self.chars and "\ud800" <= self.chars[-1] <= "\udbff":
            self._complete_pair(char, end)
            return
        self.chars.append(char)
        self.starts.append(start)
        self.ends.append(end)

    def _complete_pair(self, low: str, end: int) -> None:
        high = self.chars[-1]
        self.chars[-1] = chr(0x10000 + ((ord(high) - 0xD800) << 10) + ord(low) - 0xDC00)
        self.ends[-1] = end

    def copy(self, source: str, start: int, end: int) -> None:
        """Add characters that stand in the file as they are."""
        self.chars.extend(source[start:end])
        self.starts.extend(range(start, end))
        self.ends.extend(range(start + 1, end + 1))

    def places(self, text: str) -> Places | None:
        """Return the places if the walk arrived at `text`; trailing line breaks may have been chomped."""
        length = len(text)
        if "".join(self.chars[:length]) != text:
            return None
        return self.starts[:length], self.ends[:length]


def _walk_flow(source: str, start: int, end: int, style: Style) -> _Walk:
    walk, pieces = _Walk(), _PIECES[style]
    at = start
    while at < end:
        piece = pieces.match(source, at, end)
        if piece is None:
            break
        at = _step(walk, source, piece, end, style)
    return walk


def _step(walk: _Walk, source: str, piece: re.Match[str], end: int, style: Style) -> int:
    """Add one piece of a flow scalar and return where the next one starts."""
    start, stop, text = piece.start(), piece.end(), piece[0]
    if text[0] in "\r\n":
        return _fold(walk, source, start, end, start)
    if text[0] in " \t" and stop < end and source[stop] in "\r\n":
        return _fold(walk, source, stop, end, stop)
    if text == "''" and style == "single":
        walk.add("'", start, stop)
        return stop
    if text[0] == "\\" and style == "double":
        return _escape(walk, source, start, end)
    walk.copy(source, start, stop)
    return stop


def _fold(walk: _Walk, source: str, at: int, end: int, place: int) -> int:
    """Fold line breaks: one is a space, each further one a line break. White space around them is dropped."""
    breaks: list[tuple[int, int]] = []
    while matched := _BREAK_AND_INDENT.match(source, at, end):
        breaks.append(matched.span(1))
        at = matched.end()
    if len(breaks) == 1:
        walk.add(" ", place, breaks[0][1])
    for first, last in breaks[1:]:
        walk.add("\n", first, last)
    return at


def _escape(walk: _Walk, source: str, start: int, end: int) -> int:
    coded = _CODED.match(source, start, end)
    if coded:
        code = int(coded[1] or coded[2] or coded[3], 16)
        walk.add(chr(min(code, 0x10FFFF)), start, coded.end())
        return coded.end()
    if source[start + 1] not in "\r\n":
        walk.add(_ESCAPES.get(source[start + 1], "\ufffd"), start, start + 2)
        return start + 2
    # An escaped line break is nothing; the ones after it count in full.
    first = _BREAK_AND_INDENT.match(source, start + 1, end)
    at = first.end() if first else start + 2
    while matched := _BREAK_AND_INDENT.match(source, at, end):
        walk.add("\n", *matched.span(1))
        at = matched.end()
    return at


def _walk_block(source: str, start: int, style: Style, text: str) -> _Walk:
    header = _BREAK.search(source, start)
    lines = _lines(source, header.end() if header else len(source))
    indent = _indent(source, start, text)
    if indent is None:
        return _Walk()
    return (_walk_literal if style == "literal" else _walk_folded)(source, lines, indent, len(text))


def _lines(source: str, at: int) -> Iterator[tuple[int, int, int]]:
    """Give the start, the end, and the end with its line break of each line from `at` on."""
    while at < len(source):
        matched = _LINE.match(source, at)
        if matched is None:
            return
        yield matched.start(1), matched.end(1), matched.end(2)
        at = matched.end(2)


def _indent(source: str, start: int, text: str) -> int | None:
    """Compare the first line with text in it, as written and as decoded: the difference was stripped."""
    decoded = next((line for line in text.split("\n") if line.strip(" ")), None)
    header = _BREAK.search(source, start)
    if decoded is None or header is None:
        return None
    for first, last, _ in _lines(source, header.end()):
        written = source[first:last]
        if written.strip(" "):
            stripped = _leading_spaces(written) - _leading_spaces(decoded)
            return stripped if stripped >= 0 else None
    return None


def _leading_spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _walk_literal(source: str, lines: Iterator[tuple[int, int, int]], indent: int, length: int) -> _Walk:
    walk = _Walk()
    for first, last, after in lines:
        if len(walk.chars) >= length:
            break
        walk.copy(source, min(first + indent, last), last)
        if after > last:
            walk.add("\n", last, after)
    return walk


def _walk_folded(source: str, lines: Iterator[tuple[int, int, int]], indent: int, length: int) -> _Walk:
    walk = _Walk()
    pending: list[tuple[int, int]] = []
    """Line breaks since the last line with content; the first is that line's own, if `spaced` is not None."""
    spaced: bool | None = None
    for first, last, after in lines:
        if source[first : min(first + indent, last)].strip(" ") or len(walk.chars) >= length:
            break
        if last - first > indent:
            now_spaced = source[first + indent] in " \t"
            _join_folded(walk, pending, foldable=spaced is False and not now_spaced)
            walk.copy(source, first + indent, last)
            pending, spaced = [], now_spaced
        if after > last:
            pending.append((last, after))
    _join_folded(walk, pending, foldable=False)
    return walk


def _join_folded(walk: _Walk, breaks: list[tuple[int, int]], *, foldable: bool) -> None:
    if foldable and len(breaks) == 1:
        walk.add(" ", *breaks[0])
        return
    for first, last in breaks[1:] if foldable else breaks:
        walk.add("\n", first, last)
