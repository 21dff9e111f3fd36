"""JSON text -> events. Python's own JSON parser judges the text; here it is only given positions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.events import Event, too_deep
from spec_schema.limits import Limits
from spec_schema.source import SourceFile, Span

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]|[^ \t\n\r{}\[\]:,"]+', re.DOTALL)
_CLOSING = {"[": "]", "{": "}"}
# JSON's own names for these are refused with the YAML ones, not read as texts.
_NOT_FINITE = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def json_events(file: SourceFile, limits: Limits) -> Iterator[Event]:
    """Give the events of a JSON file, after all of it was found to be JSON."""
    _check_depth(file, limits)
    if file.text.strip(" \t\n\r"):
        _check_syntax(file)
    for token in _tokens(file.text):
        yield _event(token)


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """Give strings, brackets and words; stop at a string that is never closed."""
    at = 0
    while token := _TOKEN.search(text, at):
        if '"' in text[at : token.start()]:
            return
        yield token
        at = token.end()


def _check_depth(file: SourceFile, limits: Limits) -> None:
    """Count brackets first: the parser recurses, and deep input would exhaust its stack."""
    depth = 0
    for token in _tokens(file.text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > limits.nesting:
            raise too_deep(file, token.start(), limits)


def _check_syntax(file: SourceFile) -> None:
    # Numbers are not converted here: an int of a million digits would take minutes.
    decoder = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)
    try:
        decoder.decode(file.text)
    except json.JSONDecodeError as error:
        raise _explain(file, error) from None


def _event(token: re.Match[str]) -> Event:
    start, end, text = token.start(), token.end(), token[0]
    if text in "[{":
        return Event("items" if text == "[" else "entries", start, end)
    if text in "]}":
        return Event("end", start, end)
    if text[0] == '"':
        return Event("scalar", start, end, json.loads(text), "double")
    return Event("scalar", start, end, _NOT_FINITE.get(text, text))


def _explain(file: SourceFile, error: json.JSONDecodeError) -> SpecError:
    at = min(error.pos, len(file.text))
    if error.msg.startswith("Unterminated string"):
        return _syntax("this quote is never closed", file, at, help='close it with `"`')
    if at >= len(file.text.rstrip(" \t\n\r")):
        return _cut_short(file)
    message, help = _reason(file.text, at, error.msg)
    return _syntax(message, file, at, help=help)


def _cut_short(file: SourceFile) -> SpecError:
    opening = _unclosed(file.text)
    if opening is None:
        return _syntax("the document ends in the middle", file, max(len(file.text) - 1, 0))
    bracket = file.text[opening]
    help = f"close it with `{_CLOSING[bracket]}`"
    return _syntax(f"this `{bracket}` is never closed", file, opening, help=help)


def _unclosed(text: str) -> int | None:
    open_at: list[int] = []
    for token in _tokens(text):
        if token[0] in "[{":
            open_at.append(token.start())
        elif token[0] in "]}" and open_at:
            open_at.pop()
    return open_at[-1] if open_at else None


def _reason(text: str, at: int, message: str) -> tuple[str, str | None]:
    char, before = text[at], text[:at].rstrip(" \t\n\r")[-1:]
    word = re.compile(r"\w+|").match(text, at)
    if char == "'":
        return "a JSON text stands in double quotes", None
    if text.startswith(("//", "/*", "#"), at):
        return "JSON has no comments", "leave it out, or write the spec in YAML"
    if (char in "]}" and before == ",") or "trailing comma" in message:
        return "JSON has no comma behind the last item", "leave the comma out"
    if word and word[0] in _PYTHON_WORDS:
        return f"`{word[0]}` is no JSON value", f"write `{_PYTHON_WORDS[word[0]]}`"
    return _plain_reason(message), None


def _plain_reason(message: str) -> str:
    """Return what is wrong with JSON text, in the same words for every version of Python."""
    known = {
        "Extra data": "the document has ended before this",
        "Invalid control character": "a line break or a control character inside a text",
        "Invalid \\": "this is no escape",
        "Expecting property name": "a key in double quotes was expected",
        "Expecting ',' delimiter": "a `,` or a closing bracket was expected",
        "Expecting ':' delimiter": "a `:` was expected behind the key",
        "Expecting value": "a value was expected",
    }
    return next((text for start, text in known.items() if message.startswith(start)), message.lower())


def _syntax(message: str, file: SourceFile, at: int, help: str | None = None) -> SpecError:
    return refuse("json-syntax", message, Span(file, at, min(at + 1, len(file.text))), help=help)
