"""Positioned values -> plain Python values -> canonical YAML and JSON text.

Reading either text gives the same plain value again, keys in the same order.

ruamel's dumper was tried for YAML: it pushes a list inside a list two columns further in, writes control characters
that YAML does not allow into literal blocks, takes as many lines to configure, and fifteen times as long.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, Items, Node
from spec_schema.scalars import resolve

# Of printable ASCII, what a plain scalar in block style may start with; `.` and `=` only need care at times.
_PLAIN = re.compile(r"[A-Za-z0-9_/~^$(+\\;<)=.][ -~]*")
_SIMPLE_KEY = 1000
"""Characters; YAML ends a key without `?` at 1024."""


def plain(node: Node) -> object:
    """Return the plain Python value of a positioned one."""
    if isinstance(node, Items):
        return [plain(item) for item in node]
    if isinstance(node, Entries):
        return {key: plain(value) for key, value in node.items()}
    return node.value


def to_json(value: object) -> str:
    """Return a plain value as JSON text."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def to_yaml(value: object) -> str:
    """Return a plain value as YAML text in block style, texts of several lines as literal blocks."""
    lines = _node(value)
    # What hangs from a key or a `-` is indented by that; a text alone in its document is not.
    return "\n".join([lines[0], *_indented(lines[1:])] if isinstance(value, str) else lines) + "\n"


def _node(value: object) -> list[str]:
    """Return the lines of a value, the first of which may follow a `- ` or stand alone."""
    if isinstance(value, Mapping) and value:
        return [line for key, item in value.items() for line in _entry(key, item)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [line for item in value for line in _hang("- ", _node(item))]
    return _leaf(value)


def _hang(start: str, lines: list[str]) -> Iterator[str]:
    yield start + lines[0]
    yield from _indented(lines[1:])


def _indented(lines: list[str]) -> Iterator[str]:
    return (f"  {line}" if line else line for line in lines)


def _entry(key: object, value: object) -> Iterator[str]:
    if not isinstance(key, str):
        raise TypeError(f"a key must be a str, not {type(key).__name__}")
    written = _one_line(key)
    lines = _node(value)
    if len(written) > _SIMPLE_KEY:
        yield f"? {written}"
        yield from _hang(": ", lines)
    elif isinstance(value, (Mapping, list, tuple)) and value:
        yield f"{written}:"
        yield from _indented(lines)
    else:
        yield from _hang(f"{written}: ", lines)


def _leaf(value: object) -> list[str]:
    if isinstance(value, str):
        return _literal(value) or [_one_line(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinity are no values of a spec")
    if value is None or isinstance(value, (bool, int, float)):
        return [json.dumps(value)]
    if isinstance(value, (Mapping, Sequence)):
        return ["{}" if isinstance(value, Mapping) else "[]"]
    raise TypeError(f"no plain value: {type(value).__name__}")


def _literal(text: str) -> list[str] | None:
    """Return a text as a literal block, not yet indented; None if that would not keep every character."""
    if "\n" not in text or text[0] in " \t\n":
        return None
    body = text.rstrip("\n")
    lines = body.split("\n")
    if any(line != line.rstrip() or not line.replace("\t", " ").isprintable() for line in lines):
        return None
    ends = len(text) - len(body)
    chomping = "-" if ends == 0 else "" if ends == 1 else "+"
    return [f"|{chomping}", *lines, *[""] * (ends - 1)]


def _one_line(text: str) -> str:
    return text if reads_as_text(text) else json.dumps(text, ensure_ascii=not text.isprintable())


def reads_as_text(text: str) -> bool:
    """Return whether a text without quotes is read as just that text."""
    if not _PLAIN.fullmatch(text) or ": " in text or " #" in text or text[-1] in ": ":
        return False
    if text == "<<" or text.startswith("..."):
        return False
    return isinstance(resolve(text, DEFAULT_LIMITS), str)
