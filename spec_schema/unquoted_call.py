"""Calls that YAML tore apart: inside `[ ]` and `{ }` it takes the comma of `Conv2d(6, 5)` for its own.

The reader hands the pieces here as they come, and gets the call back in one piece. So one slip is one
diagnostic, and reading goes on as if the call had been quoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spec_schema.diagnostics import Diagnostic
from spec_schema.scalars import Scalar, shorten
from spec_schema.source import Span

_OPENING, _CLOSING = "([{", ")]}"


@dataclass
class UnquotedCall:
    """The first piece of a call, and where the pieces after it have led to so far."""

    first: Scalar
    holder: Any
    key: str | int
    """Where the first piece is kept, and what is put there when the call is whole: `holder[key]`."""
    end: int
    brackets: tuple[int, str]

    @property
    def span(self) -> Span:
        return Span(self.first.span.file, self.first.span.start, self.end)

    @property
    def comma(self) -> int:
        """Where the first piece was cut off."""
        return self.first.span.file.text.index(",", self.first.span.end)

    def add(self, piece: Scalar) -> bool:
        """Add a piece, and return whether the call is whole now."""
        between = self.first.span.file.text[self.end : piece.span.end]
        self.end, self.brackets = piece.span.end, _scan(between, *self.brackets)
        return self.brackets[0] == 0

    def mend(self) -> None:
        """Put the whole call where its first piece is."""
        text = " ".join(self.span.text.split())
        self.holder[self.key] = Scalar(text, self.span, "plain", text)


def unquoted_call(span: Span, comma: int) -> Diagnostic:
    """Return what to tell the user of a torn call; `comma` is the offset of the first one that tore it."""
    text = " ".join(span.text.split())
    quote = "'" if '"' in text else '"'
    return Diagnostic(
        "torn-call",
        f"`{shorten(text)}` is torn apart",
        Span(span.file, comma, comma + 1),
        label="YAML splits at the comma here: quote the call",
        help=f"write {quote}{text}{quote}",
    )


def torn(scalar: Scalar, holder: Any, key: str | int) -> UnquotedCall | None:
    """Return the start of a torn call if a text without quotes opens a bracket that it does not close."""
    if scalar.style != "plain" or not isinstance(scalar.value, str):
        return None
    brackets = _scan(scalar.text)
    return UnquotedCall(scalar, holder, key, scalar.span.end, brackets) if brackets[0] > 0 else None


def open_brackets(text: str) -> int:
    """Count the brackets that stay open; what stands in quotes does not count."""
    return _scan(text)[0]


def _scan(text: str, depth: int = 0, quote: str = "") -> tuple[int, str]:
    """Return the depth of brackets behind a text, and the quote that is open there."""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and depth:
            quote = char
        else:
            depth += (char in _OPENING) - (char in _CLOSING)
    return depth, quote
