"""Comments and empty lines of a YAML text, put to the entries of its tree that they belong to."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from spec_schema.formatting.tree import BLANK, Entry, Group, Tree

_COMMENT = re.compile(r"(?<![^\s,\[\]{}:])#[^\n\r]*")
_HEADER = re.compile(r"[|>][-+0-9]*[ \t]+(#[^\n\r]*)")
_DASHES = re.compile(r"[\s\-?:]*")
"""What stands in front of an item on its line: a comment behind it is about the item."""


def place_comments(tree: Tree) -> None:
    """Give all comments and empty lines of a text to entries."""
    if not tree.entries:
        return
    placing = _Placing(tree)
    for start, comment in _comments(tree):
        placing.place(start, comment)
    for number, entry in enumerate(tree.entries):
        first = entry is entry.owner.entries[0] and not entry.before
        if (number or entry.before) and not first and _blank_above(tree.file.text, entry.start):
            entry.before.append(BLANK)


def _comments(tree: Tree) -> Iterator[tuple[int, str]]:
    """Yield each comment with its place: outside of scalars, a `#` is nothing else."""
    at = 0
    for leaf in tree.leaves:
        yield from _between(tree.file.text, at, leaf.start)
        if leaf.style in ("literal", "folded") and (header := _HEADER.match(tree.file.text, leaf.start)):
            yield header.start(1), header[1].rstrip()
        at = max(at, leaf.end)
    yield from _between(tree.file.text, at, len(tree.file.text))


def _between(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    at = start
    while (found := _COMMENT.search(text, at, end)) is not None:
        yield found.start(), found[0].rstrip()
        at = found.end()


class _Placing:
    """Finds the entry of each comment, one after the other."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.starts = [entry.start for entry in tree.entries]
        self.last: tuple[Entry | None, int] = (None, 0)
        """Behind which entry the last comment stands, and how many lists and mappings around it are over there."""

    def place(self, start: int, comment: str) -> None:
        text, entries = self.tree.file.text, self.tree.entries
        number = bisect_right(self.starts, start)
        previous = entries[number - 1] if number else None
        following = entries[number] if number < len(entries) else None
        column = start - _line_start(text, start)
        alone = _DASHES.fullmatch(text, _line_start(text, start), start) is not None
        if previous is not None and not alone and _behind(previous, start, comment, column):
            return
        lines = self._lines(previous, following, start, column)
        first = following is not None and lines is following.before and _is_first(following)
        if _blank_above(text, start) and (lines or not first):
            lines.append(BLANK)
        lines.append(comment)

    def _lines(self, previous: Entry | None, following: Entry | None, start: int, column: int) -> list[str]:
        """Return the lines that a comment on a line of its own goes to."""
        if previous is None or (following is not None and following.owner.above is previous):
            assert following is not None
            return following.before
        places = [*_groups_over(previous, following)]
        least = self.last[1] if self.last[0] is previous else 0
        for number, group in enumerate(places):
            closed = group.flow and group.end <= start
            is_own = not closed and (group.flow or column >= group.column or group.above is None)
            if is_own and number >= least:
                self.last = (previous, number)
                return group.after
        self.last = (previous, len(places))
        assert following is not None
        return following.before


def _is_first(entry: Entry) -> bool:
    return entry is entry.owner.entries[0]


def _behind(entry: Entry, start: int, comment: str, column: int) -> bool:
    """Put a comment behind what ends on its line; False if there is one already."""
    while entry.owner.flow and entry.owner.end <= start and entry.owner.above is not None:
        entry = entry.owner.above
    if entry.behind is not None:
        return False
    entry.behind, entry.column = comment, column
    return True


def _groups_over(previous: Entry, following: Entry | None) -> Iterator[Group]:
    """Yield the lists and mappings that are over between two entries, the innermost first."""
    group: Group | None = previous.owner
    while group is not None and (following is None or group is not following.owner):
        yield group
        group = group.above.owner if group.above is not None else None


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _blank_above(text: str, at: int) -> bool:
    """Whether the line above that of a place is empty."""
    here = _line_start(text, at)
    return here > 0 and not text[_line_start(text, here - 1) : here].strip()
