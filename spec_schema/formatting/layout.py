"""A tree -> the lines of its canonical form.

What stands in brackets stays there as long as it fits and has no comments; what stands on lines of its own stays there.
A tree without a layout of its own, as that of a JSON text, gets the one that people mostly choose.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spec_schema.formatting.order import Kind, kind_of, order_of, position_below
from spec_schema.formatting.scalars_written import WIDTH, is_block, lines_of, one_line
from spec_schema.formatting.tree import BLANK, Entry, Group, Leaf, Piece, Tree

_ON_LINES = ("document", "blocks", "body", "list", "layers", "inputs", "rules", "mesh", "train")
"""Kinds that stand on lines where nothing else is said."""
_APART = ("blocks", "model", "share", "init", "freeze", "placement", "parametrize", "mesh", "train")
"""Sections that have an empty line in front of them then."""
_SHORT = 60
"""Columns of a list or mapping in brackets, there."""
_SPACES = 2


@dataclass
class Layout:
    """The lines so far of a document that is written."""

    is_fresh: bool
    """Whether the document has no layout of its own."""
    keeps_order: bool
    lines: list[str] = field(default_factory=list)

    def document(self, tree: Tree) -> str:
        """Return the text of a document."""
        self._block(tree.root, "document", "")
        return "\n".join(self.lines) + "\n"

    def _block(self, group: Group, kind: Kind, head: str) -> None:
        """Write a list or a mapping on lines of its own, the first of which begins with `head`."""
        indent = " " * len(head)
        for number, entry in enumerate(self._ordered(group, kind)):
            self._remarks(entry.before, indent, skip_blank=number == 0 and bool(head.strip()))
            if self.is_fresh and number and self._stands_apart(entry, kind):
                self._blank()
            self._entry(entry, kind, head if number == 0 else indent)
        self._remarks(group.after, indent)

    def _stands_apart(self, entry: Entry, kind: Kind) -> bool:
        assert entry.key is not None or kind not in ("document", "blocks")
        if kind == "document":
            return entry.key is not None and entry.key.text in _APART
        return kind == "blocks"

    def _remarks(self, lines: list[str], indent: str, skip_blank: bool = False) -> None:
        for line in lines:
            if line != BLANK:
                self.lines.append(indent + line)
            elif not skip_blank:
                self._blank()

    def _blank(self) -> None:
        if self.lines and self.lines[-1].strip():
            self.lines.append("")

    def _ordered(self, group: Group, kind: Kind) -> list[Entry]:
        if not group.is_mapping or self.keeps_order:
            return group.entries
        entries = sorted(group.entries, key=lambda entry: order_of(kind, entry.key.text if entry.key else ""))
        first = group.entries[0] if entries else None
        if first is not None and entries[0] is not first and BLANK in entries[0].before[:1]:
            entries[0].before.pop(0)
        return entries

    def _entry(self, entry: Entry, kind: Kind, head: str) -> None:
        """Write an item, or a key with its value."""
        value = entry.value
        below = _kind(entry, kind)
        if entry.key is None:
            start, inner = f"{head}-", f"{head}- "
        else:
            start = head + self._key(entry.key, False, entry.owner.flow)
            inner = " " * (len(head) + _SPACES)
        if isinstance(value, Leaf):
            self._leaf(entry, value, start, len(inner))
            return
        self._group(entry, value, below, start, inner)

    def _key(self, key: Leaf, in_flow: bool, was_flow: bool) -> str:
        return one_line(key, in_flow, was_flow) + (" :" if key.is_alias else ":")

    def _leaf(self, entry: Entry, leaf: Leaf, start: str, indent: int) -> None:
        first, *rest = lines_of(leaf, entry.owner.flow, len(start) + 1, indent)
        written = [f"{start} {first}", *(" " * indent + line if line else "" for line in rest)]
        commented = 0 if is_block(leaf) else len(rest)
        for number, line in enumerate(written):
            self._line(line, entry if number == commented else None)

    def _line(self, text: str, entry: Entry | None) -> None:
        """Write a line, with the comment behind it in its column if the text leaves room for it."""
        if entry is not None and entry.behind is not None:
            text = text.ljust(max(len(text) + 2, entry.column)) + entry.behind
        self.lines.append(text)

    def _group(self, entry: Entry, group: Group, kind: Kind, start: str, inner: str) -> None:
        anchor = f" &{group.anchor}" if group.anchor else ""
        flow = self._flow(group, kind) if self._may_be_flow(group, kind) else None
        if not group.entries:
            self._remarks(group.after, " " * (len(start) - len(start.lstrip())))
            flow = "{}" if group.is_mapping else "[]"
        if flow is not None and len(start) + len(anchor) + 1 + len(flow) <= WIDTH:
            self._line(f"{start}{anchor} {flow}", entry)
        elif flow is not None and kind == "value" and not self.is_fresh:
            self._filled(entry, group, flow, start + anchor, inner)
        elif entry.key is None and not anchor:
            if entry.behind is not None:
                self.lines.append(" " * (len(start) - 1) + entry.behind)
            self._block(group, kind, inner)
        else:
            self._line(start + anchor, entry)
            self._block(group, kind, " " * len(inner))

    def _may_be_flow(self, group: Group, kind: Kind) -> bool:
        pair_in_a_list = _is_pair(group) and group.above is not None and group.above.key is None
        if pair_in_a_list and kind != "value":
            return False
        return kind not in _ON_LINES if self.is_fresh else group.flow

    def _filled(self, entry: Entry, group: Group, flow: str, start: str, inner: str) -> None:
        """Write data in brackets, on lines of their own."""
        indent = len(inner)
        if entry.key is not None or entry.behind:
            self._line(start, entry)
        if entry.key is not None and indent + len(flow) <= WIDTH:
            self.lines.append(" " * indent + flow)
            return
        words = [f"{each}," for each in self._items(group, "value") or ()]
        words[0], words[-1] = flow[0] + words[0], words[-1][:-1] + flow[-1]
        begins = start + " " if entry.key is None and not entry.behind else " " * indent
        line = begins + words[0]
        for word in words[1:]:
            if len(line) + 1 + len(word) > WIDTH:
                self.lines.append(line)
                line = " " * (indent + 1) + word
            else:
                line += f" {word}"
        self.lines.append(line)

    def _flow(self, piece: Group, kind: Kind, pair: bool = False) -> str | None:
        """Return a value in brackets, None if it has comments. `pair` leaves out those of `{key: value}`."""
        items = self._items(piece, kind)
        if items is None:
            return None
        text = ", ".join(items)
        if self.is_fresh and len(text) > _SHORT and kind != "value":
            return None
        if pair:
            return text
        return f"{{{text}}}" if piece.is_mapping else f"[{text}]"

    def _items(self, group: Group, kind: Kind) -> list[str] | None:
        """Return the items of a list or mapping as they stand in brackets, None if there are comments among them."""
        if any(line != BLANK for line in group.after):
            return None
        pairs = not group.is_mapping and all(_is_pair(entry.value) for entry in group.entries)
        found = []
        for entry in self._ordered(group, kind):
            if entry.behind is not None or any(line != BLANK for line in entry.before):
                return None
            text = self._item(entry, kind, pairs)
            if text is None:
                return None
            found.append(text)
        return found

    def _item(self, entry: Entry, kind: Kind, pair: bool) -> str | None:
        value = entry.value
        key = f"{self._key(entry.key, True, entry.owner.flow)} " if entry.key else ""
        if isinstance(value, Leaf):
            if is_block(value):
                return None
            return key + one_line(value, True, entry.owner.flow)
        below = _kind(entry, kind)
        text = self._flow(value, below, pair)
        anchor = f"&{value.anchor} " if value.anchor else ""
        return None if text is None else key + anchor + text


def _kind(entry: Entry, around: Kind) -> Kind:
    """Return what the value of an entry is."""
    position = position_below(around, entry.key.text if entry.key else None)
    return kind_of(
        position, entry.value.keys if isinstance(entry.value, Group) and entry.value.is_mapping else None
    )


def _is_pair(piece: Piece) -> bool:
    return isinstance(piece, Group) and piece.is_mapping and len(piece.entries) == 1 and not piece.anchor
