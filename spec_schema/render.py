"""Diagnostics -> text for a person, one line each for an editor, or JSON for a program.

Everything quoted from a spec is untrusted. A diagnostic is safe to print as it is; of lines of source, what does not
print is written out here, so that a file cannot drive the terminal or disguise what it says.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import Limits
from spec_schema.shown import escape
from spec_schema.source import Span

_WIDTH = 100
"""Columns of source shown of a long line."""
_BEFORE = 40
"""Columns shown in front of the span, of a line that is cut."""
_CUT = "..."

_RESET = "\x1b[0m"
_BOLD, _FRAME = "\x1b[1m", "\x1b[1;34m"
_SEVERITY = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m"}


def render_full(diagnostics: Sequence[Diagnostic], color: bool, limits: Limits) -> str:
    """Return each diagnostic with the lines of source that it speaks of."""
    shown = ["\n".join(_Page(diagnostic, color).lines()) for diagnostic in diagnostics[: limits.shown]]
    return "\n\n".join([*shown, *_more(diagnostics, limits)])


def render_short(diagnostics: Sequence[Diagnostic], limits: Limits) -> str:
    """Return each diagnostic on a line of its own: `file:line:col: error[code]: message`."""
    shown = [_short(diagnostic) for diagnostic in diagnostics[: limits.shown]]
    return "\n".join([*shown, *_more(diagnostics, limits)])


def render_json(diagnostics: Sequence[Diagnostic]) -> str:
    """Return all diagnostics as a JSON list; lines and columns count from 1, the end is exclusive."""
    return json.dumps([_as_json(diagnostic) for diagnostic in diagnostics], indent=2)


def _width(text: str) -> int:
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _more(diagnostics: Sequence[Diagnostic], limits: Limits) -> list[str]:
    left = len(diagnostics) - limits.shown
    return [f"... and {left} more"] if left > 0 else []


def _short(diagnostic: Diagnostic) -> str:
    where = f"{diagnostic.span}: " if diagnostic.span else ""
    return f"{where}{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"


def _place(span: Span | None) -> dict[str, object]:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    line, column = span.file.position(span.start)
    end_line, end_column = span.file.position(span.end)
    places = {"line": line, "column": column, "end_line": end_line, "end_column": end_column}
    return {"file": span.file.name, **places}


def _as_json(diagnostic: Diagnostic) -> dict[str, object]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "label": diagnostic.label,
        "labels": [{"text": label.text, **_place(label.span)} for label in diagnostic.labels],
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }


@dataclass(frozen=True)
class _Mark:
    """A place to underline, with a text behind the underline."""

    span: Span
    text: str
    sign: str
    """`^` for the error itself, `-` for what explains it."""


class _Page:
    """One diagnostic laid out: headline, places, marked lines of source, notes and help."""

    def __init__(self, diagnostic: Diagnostic, color: bool) -> None:
        self.diagnostic, self.color = diagnostic, color
        self.accent = _SEVERITY[diagnostic.severity]
        primary = [_Mark(diagnostic.span, diagnostic.label, "^")] if diagnostic.span else []
        self.marks = [*primary, *(_Mark(label.span, label.text, "-") for label in diagnostic.labels)]
        lines = [mark.span.line for mark in self.marks]
        self.gutter = max(2, len(str(max(lines, default=0))))

    def lines(self) -> Iterator[str]:
        yield self._headline()
        previous: _Mark | None = None
        for mark in self.marks:
            yield from self._transition(previous, mark)
            yield self._underline(mark)
            previous = mark
        for note in self.diagnostic.notes:
            yield self._remark("note", note)
        if self.diagnostic.help:
            yield self._remark("help", self.diagnostic.help)

    def _paint(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self.color and text else text

    def _headline(self) -> str:
        head = self._paint(self.accent, f"{self.diagnostic.severity}[{self.diagnostic.code}]")
        return head + self._paint(_BOLD, f": {self.diagnostic.message}")

    def _frame(self, text: str) -> str:
        return self._paint(_FRAME, text)

    def _transition(self, previous: _Mark | None, mark: _Mark) -> Iterator[str]:
        """Lead from one mark to the next: its file where that changes, and its line unless just shown."""
        empty = " " * (self.gutter + 1)
        if previous is None or previous.span.file != mark.span.file:
            arrow = "-->" if previous is None else ":::"
            yield self._frame(f"{' ' * self.gutter}{arrow}") + f" {mark.span}"
            yield self._frame(f"{empty}|")
        elif previous.span.line == mark.span.line:
            return
        elif previous.span.line + 1 != mark.span.line:
            yield self._frame(f"{empty}:")
        number = mark.span.line
        source = _window(mark.span)[0]
        yield (self._frame(f"{number:>{self.gutter}} |") + (f" {source}" if source else "")).rstrip()

    def _underline(self, mark: _Mark) -> str:
        _, indent, width = _window(mark.span)
        style = self.accent if mark.sign == "^" else _FRAME
        text = f"{mark.sign * width} {mark.text}".rstrip()
        return self._frame(f"{' ' * (self.gutter + 1)}|") + f" {' ' * indent}" + self._paint(style, text)

    def _remark(self, kind: str, text: str) -> str:
        bold = self._paint(_BOLD, f"{kind}:")
        return f"{self._frame(' ' * (self.gutter + 1) + '=')} {bold} {text}"


def _window(span: Span) -> tuple[str, int, int]:
    """Return what is shown of the first line of a span, and the indent and the width of its underline."""
    line, first, last = _columns(span)
    before, marked = line[:first], line[first:last]
    shown_before, shown_marked = escape(before[-_WIDTH:]), escape(marked[: _WIDTH + 1])
    after = escape(line[last : last + _WIDTH + 1])
    if len(before) <= _WIDTH and _width(shown_before + shown_marked + after) <= _WIDTH:
        return shown_before + shown_marked + after, _width(shown_before), max(_width(shown_marked), 1)
    head, head_cut = _fit_end(shown_before, _BEFORE)
    if head_cut or len(before) > _WIDTH:
        head = _CUT + head
    middle, middle_cut = _fit(shown_marked, _WIDTH - _BEFORE)
    tail, tail_cut = ("", True) if middle_cut else _fit(after, _WIDTH - _width(head + middle))
    return head + middle + tail + _CUT * tail_cut, _width(head), max(_width(middle), 1)


def _columns(span: Span) -> tuple[str, int, int]:
    """Return the first line of a span, and the columns that the span covers in it."""
    number, column = span.file.position(span.start)
    line = span.file.line(number)
    first = min(column - 1, len(line))
    last = max(min(first + span.end - span.start, len(line)), first)
    if span.end - span.start > len(line) - first:
        last = max(len(line.rstrip()), first)
    return line, first, last


def _fit(text: str, width: int) -> tuple[str, bool]:
    """Cut text to a width, and return whether it was cut."""
    used = 0
    for index, char in enumerate(text):
        used += _char_width(char)
        if used > width:
            return text[:index], True
    return text, False


def _fit_end(text: str, width: int) -> tuple[str, bool]:
    fitting, cut = _fit(text[::-1], width)
    return fitting[::-1], cut
