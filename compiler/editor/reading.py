"""What can be read of a text that somebody types, and what stands at a place of it.

Lines that break the syntax are passed over: blanks stand in their place, so that all places stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from compiler.rewriting.uses import Use, uses
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.reader import Entries, read_text

TRIES = 8
"""Lines that are passed over in one text."""
LARGE = 20_000
"""Characters. Of a longer text only the part around a place is read to see what stands there."""
MARK = "q_here"
"""A name that is written where the cursor stands, so that something stands there."""
_TOP = re.compile(r"^[^\s#}\]]", re.MULTILINE)
_INDENT = re.compile(r"(?:[ \t]*(?:#.*)?\n)*( +)(?=[^\s#])")


def readable(
    text: str, name: str, keep: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> Entries | None:
    """Return what can be read of a text, None if that is nothing. The line `keep` (from 1) is not passed over."""
    for _ in range(TRIES):
        try:
            root = read_text(text, name, limits)
        except SpecError as error:
            lines = {found.span.line for found in error.diagnostics if found.span} - {keep}
            changed = _without(text, lines)
            if changed == text:
                return None
            text = changed
        else:
            return root if isinstance(root, Entries) else None
    return None


def _without(text: str, numbers: set[int]) -> str:
    """Return a text with blanks in the place of some lines."""
    lines = text.split("\n")
    for number in numbers:
        if number <= len(lines):
            lines[number - 1] = re.sub(r"[^\r]", " ", lines[number - 1])
    return "\n".join(lines)


@dataclass(frozen=True)
class Spot:
    """What stands at a place: a scalar, and the character of its decoded text in front of which the place is."""

    use: Use
    at: int
    root: Entries
    """The part of the text that was read for it."""

    @property
    def before(self) -> str:
        """The text of the scalar in front of the place."""
        return self.use.scalar.text[: self.at]

    @property
    def is_key(self) -> bool:
        return self.use.owner is not None


def spot_in(root: Entries, offset: int) -> Spot | None:
    """Return what stands at a place, or ends there."""
    found = [use for use in uses(root) if _touches(use, offset)]
    return Spot(found[-1], found[-1].scalar.index_of(offset), root) if found else None


def _touches(use: Use, offset: int) -> bool:
    span = use.scalar.span
    return span.start <= offset <= span.end and bool(use.scalar.text)


def spot_at(text: str, offset: int, name: str) -> Spot | None:
    """Return what stands at a place of a text."""
    piece, start = around(text, offset, name)
    root = readable(piece, name)
    return spot_in(root, offset - start) if root is not None else None


def spot_to_complete(text: str, offset: int, name: str) -> Spot | None:
    """Return what may be completed at a place, where as good as nothing may stand."""
    piece, start = around(text, offset, name)
    at = offset - start
    line = piece.count("\n", 0, at) + 1
    for filler in _fillers(piece, at):
        root = readable(piece[:at] + filler + piece[at:], name, keep=line)
        spot = spot_in(root, at) if root is not None else None
        if spot is not None:
            return replace(spot, at=min(spot.at, spot.use.scalar.index_of(at)))
    return None


def _fillers(text: str, at: int) -> Iterator[str]:
    """Yield what may be written at a place so that the text can be read: nothing where a word stands."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    rest = text[at:].partition("\n")[0]
    if line.strip() and line[-1:] not in " \t[{,":
        yield ""
    yield from (MARK, f"{MARK}:", f'"{MARK}": 0', f'"{MARK}"')
    if '"' in line and '"' not in rest:
        yield f'{MARK}"'


def around(text: str, offset: int, name: str) -> tuple[str, int]:
    """Return the part of a long text that a place is in, and by how much its places are less."""
    if len(text) <= LARGE or name.endswith(".json"):
        return text, 0
    start, end = _between(_TOP, text, offset, 0, len(text))
    heading = text.find("\n", start) + 1
    indent = _INDENT.match(text, heading, end)
    if not text.startswith("blocks:", start) or not 0 < heading <= offset or indent is None:
        return text[start:end], start
    block = re.compile(rf"^ {{{len(indent[1])}}}[^\s#}}\]]", re.MULTILINE)
    first, last = _between(block, text, offset, heading, end)
    return text[start:heading] + text[first:last], first - (heading - start)


def _between(pattern: re.Pattern[str], text: str, offset: int, start: int, end: int) -> tuple[int, int]:
    """Return where the part begins that a place is in, and where the next one does: at lines that fit a pattern."""
    line = text.find("\n", offset)
    behind = pattern.search(text, line, end) if line >= 0 else None
    at = text.rfind("\n", start, offset) + 1
    while at > start and not pattern.match(text, at):
        at = text.rfind("\n", start, at - 1) + 1
    return max(at, start), behind.start() if behind else end
