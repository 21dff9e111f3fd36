"""The text of a spec as a tree of pieces that know how they are written, with comments and empty lines.

ruamel's round trip was tried: it drops comments inside of `[ ]` and breaks long keys (`findings/ruamel-round-trip.sh`),
moves comments behind a key whose value is on the next line, and leaves blanks at the ends of lines. So its parser alone
is used here, and `layout.py` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from spec_schema.events import Event
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.offsets import Style
from spec_schema.scalars import Value, resolve
from spec_schema.source import SourceFile

BLANK = ""
"""Stands for an empty line among comments."""


@dataclass(eq=False)
class Leaf:
    """A scalar, or an alias."""

    start: int
    end: int
    text: str
    style: Style
    anchor: str | None = None
    is_alias: bool = False

    @property
    def value(self) -> Value:
        if self.style != "plain" or self.is_alias:
            return self.text
        found = resolve(self.text, DEFAULT_LIMITS)
        assert not hasattr(found, "code"), "a text that was refused is not formatted"
        return found


@dataclass(eq=False)
class Group:
    """A list or a mapping."""

    start: int
    end: int
    is_mapping: bool
    bracketed: bool
    flow: bool
    """Whether it stands in brackets, its own or those around it."""
    column: float
    """A comment behind its last entry is its own if it stands in this column, or further to the right."""
    above: Entry | None
    anchor: str | None = None
    entries: list[Entry] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    """Comments behind the last entry."""

    @property
    def keys(self) -> list[str]:
        return [entry.key.text for entry in self.entries if entry.key is not None]


Piece: TypeAlias = Leaf | Group


@dataclass(eq=False)
class Entry:
    """An item of a list, or a key with its value, and what is written around it."""

    start: int
    owner: Group
    key: Leaf | None
    value: Piece
    before: list[str] = field(default_factory=list)
    """Comments on lines of their own, and empty lines."""
    behind: str | None = None
    column: int = 0
    """Where the comment behind it stands."""


@dataclass
class Tree:
    """A document: its root, and its parts in the order of the text."""

    file: SourceFile
    root: Group
    leaves: list[Leaf]
    entries: list[Entry]

    @property
    def is_plain(self) -> bool:
        """Whether it has no anchors."""
        return not any(each.anchor or each.is_alias for each in self.leaves) and not any(
            isinstance(each.value, Group) and each.value.anchor for each in self.entries
        )


def tree_of(file: SourceFile, events: Iterable[Event]) -> Tree:
    """Return the tree of a document, which is a mapping that was read without an error."""
    builder = _Builder(file)
    for event in events:
        builder.take(event)
    assert builder.root is not None
    return Tree(file, builder.root, builder.leaves, builder.entries)


class _Builder:
    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.root: Group | None = None
        self.open: list[Group] = []
        self.leaves: list[Leaf] = []
        self.entries: list[Entry] = []
        self.pending: list[Entry | None] = []
        """Of each open group, the entry whose value comes next."""

    def take(self, event: Event) -> None:
        if event.kind == "end":
            self._close(event)
        elif event.kind in ("items", "entries"):
            self._open(event)
        else:
            self._place(self._leaf(event))

    def _leaf(self, event: Event) -> Leaf:
        block = event.style in ("literal", "folded")
        end = event.start + len(self.file.text[event.start : event.end].rstrip()) if block else event.end
        leaf = Leaf(event.start, end, event.text, event.style, event.anchor, event.kind == "alias")
        self.leaves.append(leaf)
        return leaf

    def _open(self, event: Event) -> None:
        bracketed = self.file.text[event.start : event.start + 1] in ("[", "{")
        outer = self.open[-1] if self.open else None
        flow = bracketed or (outer is not None and outer.flow)
        column: float = event.start - (self.file.text.rfind("\n", 0, event.start) + 1)
        if outer is not None and column <= outer.column:
            column = outer.column + 0.5  # a list may stand as far to the left as its key
        group = Group(
            event.start, event.end, event.kind == "entries", bracketed, flow, column, None, event.anchor
        )
        group.above = self._place(group)
        self.open.append(group)
        self.pending.append(None)

    def _close(self, event: Event) -> None:
        group = self.open.pop()
        self.pending.pop()
        last = group.entries[-1].value.end if group.entries else group.start
        group.end = event.end if group.bracketed else last

    def _place(self, piece: Piece) -> Entry | None:
        if not self.open:
            assert isinstance(piece, Group)
            self.root = piece
            return None
        group, pending = self.open[-1], self.pending[-1]
        if pending is not None:
            pending.value, self.pending[-1] = piece, None
            return pending
        key = piece if group.is_mapping and isinstance(piece, Leaf) else None
        entry = Entry(piece.start, group, key, piece)
        group.entries.append(entry)
        self.entries.append(entry)
        if group.is_mapping:
            self.pending[-1] = entry
        return entry
