"""How a scalar is written: without quotes where it can be, on one line or several."""

from __future__ import annotations

import json
import re

from spec_schema.formatting.tree import Leaf
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.scalars import resolve

WIDTH = 120
"""Columns of a line, comments behind it not counted."""
_PLAIN = re.compile(r"(?:[A-Za-z0-9_/~^$(+\\;<)=.]|-(?=[A-Za-z0-9_(.])|[^\x00-\x7f])[^\n]*")
_OLD_WORDS = {"y", "n", "yes", "no", "on", "off"}
"""Truth values for readers of YAML 1.1: whoever quotes them has a reason."""
_SPACE = re.compile(r"(?<=[^ ]) (?=[^ ])")


def one_line(leaf: Leaf, in_flow: bool, was_flow: bool) -> str:
    """Return a scalar on one line. `was_flow` says whether it was written inside of brackets."""
    if leaf.is_alias:
        return f"*{leaf.text}"
    anchor = f"&{leaf.anchor} " if leaf.anchor else ""
    value = leaf.value
    if value is None or isinstance(value, bool):
        return anchor + json.dumps(value)
    if not isinstance(value, str):
        return anchor + leaf.text
    as_it_was = leaf.style == "plain" and "\n" not in value and (was_flow or not in_flow)
    return anchor + (value if as_it_was or can_be_plain(value, in_flow) else quoted(value))


def can_be_plain(text: str, in_flow: bool) -> bool:
    """Return whether a text without quotes is read as just that text."""
    if not _PLAIN.fullmatch(text) or not text.isprintable() or text[-1] in ": " or text.lower() in _OLD_WORDS:
        return False
    if ": " in text or " #" in text or text == "<<" or text.startswith(("...", "---")):
        return False
    if in_flow and any(mark in text for mark in ",[]{}?:"):
        return False
    return isinstance(resolve(text, DEFAULT_LIMITS), str)


def flow_text(value: object) -> str:
    """Return a plain value in brackets, or a scalar as it stands in brackets."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow_text(key)}: {flow_text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow_text, value))}]"
    if isinstance(value, str):
        return value if can_be_plain(value, True) else quoted(value)
    return json.dumps(value)


def quoted(text: str) -> str:
    """Return a text in double quotes, or in single ones where these need fewer signs."""
    double = json.dumps(text, ensure_ascii=not text.isprintable())
    single = "'" + text.replace("'", "''") + "'"
    return single if text.isprintable() and len(single) < len(double) else double


def is_block(leaf: Leaf) -> bool:
    """Return whether a scalar outside of brackets is written as a literal block."""
    return not leaf.is_alias and "\n" in leaf.text and bool(literal_block(leaf.text, leaf.style == "literal"))


def lines_of(leaf: Leaf, was_flow: bool, used: int, indent: int) -> list[str]:
    """Return the lines of a scalar outside of brackets, the first behind `used` columns, the others to be indented."""
    if is_block(leaf):
        block = literal_block(leaf.text, leaf.style == "literal")
        return [f"&{leaf.anchor} {block[0]}" if leaf.anchor else block[0], *block[1:]]
    line = one_line(leaf, False, was_flow)
    if used + len(line) <= WIDTH or not isinstance(leaf.value, str):
        return [line]
    return wrapped(line, WIDTH - used, WIDTH - indent)


def literal_block(text: str, was_one: bool) -> list[str]:
    """Return a text of several lines as a literal block, not yet indented; none if it is no text for one."""
    body = text.rstrip("\n")
    lines = body.split("\n")
    if not body or (not was_one and any(line != line.rstrip() or not line.isprintable() for line in lines)):
        return []
    first = next(line for line in lines if line) if any(lines) else ""
    indented = "2" if lines[0][:1] in (" ", "") or first[:1] == " " else ""
    ends = len(text) - len(body)
    chomping = "-" if ends == 0 else "" if ends == 1 else "+"
    return [f"|{indented}{chomping}", *lines, *[""] * (ends - 1)]


def wrapped(line: str, first: int, rest: int) -> list[str]:
    """Break a scalar at single blanks. YAML makes them one again."""
    found, room = [], first
    while len(line) > room and (at := _break(line, room)) is not None:
        found.append(line[:at])
        line, room = line[at + 1 :], rest
    return [*found, line]


def _break(line: str, room: int) -> int | None:
    """Return the blank to break at: outside of as many brackets as can be, then behind a comma, or before a `+`."""
    depths, depth = [], 0
    for char in line:
        depth += (char in "([{") - (char in ")]}")
        depths.append(depth)
    spaces = [each.start() for each in _SPACE.finditer(line)]
    fitting = [at for at in spaces if at <= room and at > room // 3] or spaces[:1]
    if not fitting:
        return None

    def rank(at: int) -> tuple[int, int, int]:
        weight = 0 if line[at - 1] == "," else 1 if line[at + 1] in "+-" else 2
        return depths[at], weight if depths[at] else 0, -at

    return min(fitting, key=rank)
