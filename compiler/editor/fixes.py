"""Quick fixes: edits that the help of a diagnostic stands for. Each is tried, and shown if it mends the spec."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from compiler.rewriting.edits import Edit
from spec_schema.diagnostics import Diagnostic

_INSTEAD = re.compile(
    r"(?:did you mean(?: the key)?|write|name it|it is|use|quote it:|make a new value:|call it:|indent with|"
    r"number it from 0:|expressions are written as in Python:|go over|convert it:|write it as an item:) "
    r"(?=[`\"'])(.*)"
)
_CHOICES = re.compile(r"`([^`]+)`(?:(?: for the \w+)?,? or `([^`]+)`)?")
_BEHIND = re.compile(r"(?:end it with|close it with) (.*)")
_OUT = re.compile(r"leave (it|the line|the index|the tag) out")
_OPEN = ("...", "FIELD", "SELECTOR")
"""What stands in a help for something that it does not know."""
MOST = 4
"""Candidates that are tried for one diagnostic."""


@dataclass(frozen=True)
class Fix:
    """An edit of a text, with what it does in words."""

    title: str
    edit: Edit

    def applied(self, text: str) -> str:
        """Return the text with it."""
        return text[: self.edit.start] + self.edit.text + text[self.edit.end :]


def fixes(
    found: Diagnostic, text: str, others: Iterable[Diagnostic], look: Callable[[str], Iterable[Diagnostic]]
) -> Iterator[Fix]:
    """Yield what mends a diagnostic of a text. `look` returns the diagnostics of another text."""
    before = {_key(each) for each in others}
    for fix in [*_candidates(found, text)][:MOST]:
        after = list(look(fix.applied(text)))
        if not any(_key(each) == _key(found) or _is_new_there(each, fix, before) for each in after):
            yield fix


def mended(text: str, found: Iterable[Diagnostic], name: str) -> str | None:
    """Return a text with the first fix of everything that is wrong in it, untried; None where something has none."""
    edits: list[Edit] = []
    for each in found:
        fix = next(_candidates(each, text), None)
        if fix is None or each.span is None or each.span.file.name != name:
            return None
        edits.append(fix.edit)
    edits.sort(reverse=True)
    if any(before.start < after.end for before, after in pairwise(edits)):
        return None
    for edit in edits:
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text if edits else None


def _key(found: Diagnostic) -> tuple[str, str]:
    return found.code, found.message


def _is_new_there(found: Diagnostic, fix: Fix, before: set[tuple[str, str]]) -> bool:
    """Return whether a diagnostic comes from the edit itself."""
    if found.span is None or _key(found) in before:
        return False
    end = fix.edit.start + len(fix.edit.text)
    return found.span.start <= end and fix.edit.start <= found.span.end


def _candidates(found: Diagnostic, text: str) -> Iterator[Fix]:
    span, help = found.span, found.help or ""
    if span is None or not help:
        return
    if instead := _INSTEAD.search(help):
        for new in _pieces(instead[1]):
            yield from _instead(span.start, span.end, new, text)
    if behind := _BEHIND.search(help):
        for new in _pieces(behind[1]):
            yield from _behind(span.end, new, text)
    if _OUT.search(help):
        yield from _left_out(span.start, span.end, text)


def _pieces(help: str) -> list[str]:
    """Return what stands in backquotes, and in quotes of its own, without what is open."""
    if not help.startswith("`"):
        return [help] if "`" not in help else []
    found = _CHOICES.match(help)
    return [each for each in found.groups() if each and not any(w in each for w in _OPEN)] if found else []


def _instead(start: int, end: int, new: str, text: str) -> Iterator[Fix]:
    """Yield a new text for a place: with its quotes, and for the text around it that is meant."""
    title, first = f"write `{new}`", text.rfind("\n", 0, start) + 1
    quote = text[start : start + 1]
    if quote in ("'", '"') and new[:1] not in ("'", '"') and text[end - 1 : end] == quote:
        yield Fix(title, Edit(start + 1, end - 1, new))
    else:
        yield Fix(title, Edit(start, end, new))
    unquoted = new.strip("\"'")
    if unquoted != new and (at := text.find(unquoted, first, end + len(new))) >= 0:
        yield Fix(title, Edit(at, at + len(unquoted), new))
    name, opening, _ = new.partition("(")
    if opening and (at := text.rfind(f"{name}(", first, start)) >= 0:
        behind = _closed(text, at + len(name))
        if behind >= end:
            yield Fix(title, Edit(at, behind, new))


def _closed(text: str, at: int) -> int:
    """Return the place behind the bracket that closes one."""
    depth = 0
    for place in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place + 1
    return len(text)


def _behind(end: int, new: str, text: str) -> Iterator[Fix]:
    """Yield a closing bracket behind a place, or a statement on the next line."""
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    if len(new) == 1:
        yield Fix(f"close it with `{new}`", Edit(end, end, new))
        yield Fix(f"close it with `{new}`", Edit(line, line, new))
        return
    start = text.rfind("\n", 0, end) + 1
    indent = text[start : start + len(text[start:]) - len(text[start:].lstrip(" "))]
    yield Fix(f"end it with `{new}`", Edit(line, line, f"\n{indent}{new}"))


def _left_out(start: int, end: int, text: str) -> Iterator[Fix]:
    """Yield a text without a part: with the comma in front of it, with that behind it, or with its line."""
    if keyword := re.search(r"\w+\s*=\s*\Z", text[:start]):
        start = keyword.start()
    title = f"leave `{text[start:end].strip()}` out"
    if before := re.search(r",\s*\Z", text[:start]):
        yield Fix(title, Edit(before.start(), end, ""))
    elif behind := re.match(r"\s*,\s*", text[end:]):
        yield Fix(title, Edit(start, end + behind.end(), ""))
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    last = len(text) if last < 0 else last + 1
    if not text[first:start].strip(" -") and not text[end:last].partition("#")[0].strip(" \r\n:,"):
        yield Fix(title, Edit(first, last, ""))
    yield Fix(title, Edit(start, end, ""))
