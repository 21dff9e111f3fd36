"""Scalars: what a plain text means (YAML 1.2 core schema), and where its characters stand in the file."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from spec_schema.limits import Limits
from spec_schema.offsets import Places, Style, decoded_places
from spec_schema.source import Span

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Scalar:
    """A scalar of a document and where it stands."""

    value: Value
    span: Span
    """The scalar as it stands in the file, quotes included."""
    style: Style
    text: str
    """The decoded text, also of a number."""

    @cached_property
    def _places(self) -> Places | None:
        return decoded_places(self.span.file.text, self.span.start, self.span.end, self.style, self.text)

    def locate(self, start: int, end: int) -> Span:
        """Return where the characters `start` to `end` of the decoded text stand in the file.

        An expression inside a string can so be pointed at to the exact character, whatever quoting,
        folding or indentation it went through. Where that is not known for certain it is the whole scalar.
        """
        places = self._places
        if places is None or not self.text:
            return self.span
        start = min(max(start, 0), len(self.text))
        end = min(max(end, start), len(self.text))
        starts, ends = places
        first = starts[start] if start < len(self.text) else ends[-1]
        return Span(self.span.file, first, ends[end - 1] if end > start else first)

    def index_of(self, place: int) -> int:
        """Return which character of the decoded text stands at a place of the file, or behind it."""
        places = self._places
        if places is None:
            return min(max(place - self.span.start, 0), len(self.text))
        return bisect_left(places[0], place)


@dataclass(frozen=True)
class Refusal:
    """Why a plain text is no value: the parts of a diagnostic that do not depend on where it stands."""

    code: str
    message: str
    help: str | None = None


def shorten(text: str) -> str:
    """Return a text from a spec in a length that a message can quote."""
    return text if len(text) <= 60 else f"{text[:57]}..."


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?")
_OTHER_BASES = re.compile(r"[-+]?0b[01_]+|[-+]0x[0-9a-fA-F_]+|0x[0-9a-fA-F_]*_[0-9a-fA-F_]*")


def resolve(text: str, limits: Limits) -> Value | Refusal:
    """Return the value that a plain scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    ambiguous = _ambiguous(text)
    if ambiguous:
        return ambiguous
    if _DECIMAL.fullmatch(text):
        return _integer(text, 10, limits)
    if _BASED.fullmatch(text):
        return _integer(text, 0, limits)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    return _not_finite() if _NOT_FINITE.fullmatch(text) else text


def _ambiguous(text: str) -> Refusal | None:
    """Refuse what YAML 1.1 readers and YAML 1.2 readers take for different things."""
    shown = shorten(text)
    if _LEADING_ZERO.fullmatch(text):
        sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-0") or "0"
        numbers = f"write `{sign}{shorten(digits)}` for the number"
        return _ambiguity(shown, f'{numbers}, or `"{shown}"` for the text')
    if "_" in text and _UNDERSCORES.fullmatch(text):
        plain = shorten(text.replace("_", ""))
        return _ambiguity(shown, f'write `{plain}` for the number, or `"{shown}"` for the text')
    if _OTHER_BASES.fullmatch(text):
        return _ambiguity(shown, f'write a decimal number, or `"{shown}"` for the text')
    return None


def _ambiguity(shown: str, help: str) -> Refusal:
    return Refusal("ambiguous-number", f"`{shown}` means different things to different YAML readers", help)


def _integer(text: str, base: int, limits: Limits) -> int | Refusal:
    # The length is checked first: making an int of a million digits takes minutes.
    short = len(text) <= len(str(limits.integer)) * 4 + 3
    value = int(text, base) if short else 0
    if short and abs(value) <= limits.integer:
        return value
    return Refusal(
        "integer-range", f"the integer is beyond ±{limits.integer}", "write it as a float or quote it"
    )


def _finite(text: str) -> float | Refusal:
    value = float(text)
    return value if math.isfinite(value) else _not_finite()


def _not_finite() -> Refusal:
    return Refusal(
        "not-a-number", "NaN and infinity are no values of a spec", "write a finite number, or quote it"
    )
