"""The text of a spec, YAML 1.2 or JSON, -> plain values that know where they stand.

Limits are checked on the flat stream of events, before anything of that size is built: nesting, the number
of nodes, and by arithmetic the number that aliases stand for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.events import Event, too_deep
from spec_schema.json_events import json_events
from spec_schema.limits import Limits
from spec_schema.scalars import Refusal, Scalar, Value, resolve, shorten
from spec_schema.source import SourceFile, Span
from spec_schema.unquoted_call import UnquotedCall, torn, unquoted_call
from spec_schema.yaml_events import yaml_events

__all__ = ["Entries", "Items", "Node", "Scalar", "read_bytes", "read_file", "read_text"]

# What neither YAML nor JSON allows, and what only JSON allows inside a text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_YAML_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Items(list["Node"]):
    """A sequence of a document."""

    def __init__(self, span: Span, items: Iterable[Node] = ()) -> None:
        super().__init__(items)
        self.span = span


class Entries(dict[str, "Node"]):
    """A mapping of a document. `keys_at` holds its keys with their places."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span
        self.keys_at: dict[str, Scalar] = {}


Node: TypeAlias = Scalar | Items | Entries


def read_file(path: Path, name: str | None, limits: Limits) -> Node:
    """Read a spec file; `name` is what a person is shown for it, its path if None."""
    with path.open("rb") as stream:
        data = stream.read(limits.file_bytes + 1)
    return read_bytes(data, str(path) if name is None else name, limits)


def read_bytes(data: bytes, name: str, limits: Limits) -> Node:
    """Read the bytes of a spec, which are UTF-8."""
    _check_size(len(data), name, limits)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(data, name, error.start) from None
    return read_text(text, name, limits)


def read_text(text: str, name: str, limits: Limits) -> Node:
    """Read the text of a spec: JSON if `name` ends in `.json`, else YAML."""
    file = SourceFile(name, text.removeprefix("\ufeff"))
    _check_size(len(text) if text.isascii() else len(text.encode("utf-8", "replace")), name, limits)
    is_json = name.endswith(".json")
    _check_characters(file, is_json)
    events = json_events(file, limits) if is_json else yaml_events(file, limits)
    return _Builder(file, limits, "json-syntax" if is_json else "yaml-syntax").build(events)


def _check_size(size: int, name: str, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise refuse(
            "too-large",
            f"the file is larger than {limits.file_bytes:,} bytes",
            Span(SourceFile(name, ""), 0, 0),
        )


def _not_utf8(data: bytes, name: str, at: int) -> SpecError:
    start = len(data[:at].decode("utf-8"))
    file = SourceFile(name, data.decode("utf-8", "replace"))
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    help = "save the file as UTF-8; it looks like UTF-16" if utf16 else "save the file as UTF-8"
    return refuse("not-utf8", f"byte {data[at]:#04x} is no UTF-8", Span(file, start, start + 1), help=help)


def _check_characters(file: SourceFile, is_json: bool) -> None:
    half = _SURROGATE.search(file.text)
    if half:
        raise refuse("not-utf8", "half of a surrogate pair is no character", Span(file, *half.span()))
    control = (_CONTROL if is_json else _YAML_CONTROL).search(file.text)
    if control:
        code = "json-syntax" if is_json else "yaml-syntax"
        message = f"the control character U+{ord(control[0]):04X} is not allowed"
        help = f'write it as "\\u{ord(control[0]):04x}" in double quotes, if it is meant'
        raise refuse(code, message, Span(file, *control.span()), help=help)


@dataclass(slots=True)
class _Open:
    """A collection that is not yet closed."""

    node: Items | Entries
    before: int
    """How many nodes the document had before it, aliases expanded."""
    anchor: str | None
    end: int
    """Where its last child ends."""
    height: int = 1
    expects_key: bool = True
    key: str | None = None
    """The key whose value comes next; None drops the value of a key that was refused."""
    torn: UnquotedCall | None = None
    """The call, torn apart at a comma, that the last value may have started."""
    piece: Scalar | None = None
    """What may be a piece of it, if its value is empty: YAML took it for a key."""


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    size: int
    height: int


class _Builder:
    """Builds the tree from events, without recursion."""

    def __init__(self, file: SourceFile, limits: Limits, syntax: str) -> None:
        self.file, self.limits, self.syntax = file, limits, syntax
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Anchored] = {}
        self.diagnostics: list[Diagnostic] = []
        self.written = 0
        self.expanded = 0
        self.root: Node | None = None

    def build(self, events: Iterable[Event]) -> Node:
        try:
            for event in events:
                self._take(event)
        except SpecError as error:
            self._stop(error)
        else:
            self._check_document()
        if self.diagnostics or self.root is None:
            raise SpecError(self.diagnostics)
        return self.root

    def _stop(self, error: SpecError) -> None:
        """Give up at an error; what was found on its line may only follow from it."""
        lines = {found.span.line for found in error.diagnostics if found.span}
        kept = [found for found in self.diagnostics if found.span and found.span.line not in lines]
        self.diagnostics = [*kept, *error.diagnostics]

    def _check_document(self) -> None:
        root = self.root
        if root is None or (isinstance(root, Scalar) and root.style == "plain" and not root.text):
            self._report("empty-document", "the document is empty", Span(self.file, 0, 0))
        if self.expanded > self.written * self.limits.alias_growth:
            times = f"more than {self.limits.alias_growth} times"
            message = f"aliases make the document {times} as large as it was written"
            self._report("too-many-nodes", message, Span(self.file, 0, 0))

    def _report(
        self, code: str, message: str, span: Span, help: str | None = None, labels: tuple[Label, ...] = ()
    ) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, labels=labels, help=help))

    def _span(self, start: int, end: int) -> Span:
        return Span(self.file, start, end)

    def _take(self, event: Event) -> None:
        check_time(partial(self._span, event.start, event.end))
        if event.kind == "end":
            self._close(event)
            return
        self.written += 1
        self._count(1, event)
        if event.tag:
            help = "leave the tag out, or quote the text"
            self._report("yaml-tag", "a spec has no YAML tags", self._span(*event.tag), help)
        if event.kind == "alias":
            self._alias(event)
        elif event.kind == "scalar":
            self._scalar(event)
        else:
            self._open(event)

    def _count(self, nodes: int, event: Event) -> None:
        self.expanded += nodes
        if self.expanded > self.limits.nodes:
            written = "" if self.written == self.expanded else ", aliases expanded"
            message = f"more than {self.limits.nodes:,} nodes{written}"
            raise refuse("too-many-nodes", message, self._span(event.start, event.end))

    def _open(self, event: Event) -> None:
        if len(self.stack) >= self.limits.nesting:
            raise too_deep(self.file, event.start, self.limits)
        span = self._span(event.start, event.end)
        node = Items(span) if event.kind == "items" else Entries(span)
        self.stack.append(_Open(node, self.expanded - 1, event.anchor, event.end))

    def _close(self, event: Event) -> None:
        frame = self.stack.pop()
        bracket = self.file.text[event.start : event.end] in ("]", "}")
        end = event.end if bracket else frame.end
        frame.node.span = self._span(frame.node.span.start, end)
        self._anchor(frame.anchor, _Anchored(frame.node, self.expanded - frame.before, frame.height))
        self._place(frame.node, end, frame.height)

    def _anchor(self, name: str | None, anchored: _Anchored) -> None:
        if name is not None:
            self.anchors[name] = anchored

    def _alias(self, event: Event) -> None:
        span = self._span(event.start, event.end)
        if any(frame.anchor == event.text for frame in self.stack):
            raise refuse("recursive-alias", "this would contain itself", span)
        anchored = self.anchors.get(event.text)
        if anchored is None:
            help = f"a text that starts with `*` needs quotes: '{shorten(self._unquoted(event.start))}'"
            raise refuse(self.syntax, "there is no anchor for this alias", span, help=help)
        self._count(anchored.size - 1, event)
        if len(self.stack) + anchored.height > self.limits.nesting:
            raise too_deep(self.file, event.start, self.limits)
        self._place(anchored.node, event.end, anchored.height)

    def _unquoted(self, start: int) -> str:
        """Return the text that was meant where a selector such as `*.bias` stands without quotes."""
        line = self.file.text[start:].partition("\n")[0]
        return re.split(r":(?: |$)| #|, ", line)[0].rstrip(" ]},:\r")

    def _scalar(self, event: Event) -> None:
        span = self._span(event.start, self._scalar_end(event))
        text = self._characters(event.text, span)
        scalar = Scalar(self._value(text, event, span), span, event.style, text)
        self._anchor(event.anchor, _Anchored(scalar, 1, 0))
        self._place(scalar, span.end, 0)

    def _scalar_end(self, event: Event) -> int:
        """Leave out the empty lines behind a block scalar, and the start of the next line."""
        if event.style not in ("literal", "folded"):
            return event.end
        return event.start + len(self.file.text[event.start : event.end].rstrip())

    def _characters(self, text: str, span: Span) -> str:
        """Join the halves that escapes such as `\\ud83d\\ude00` give; a half alone is no character."""
        if text.isascii() or not _SURROGATE.search(text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._report(self.syntax, "an escape in this text is half of a surrogate pair", span)
            return _SURROGATE.sub("\ufffd", text)

    def _value(self, text: str, event: Event, span: Span) -> Value:
        if event.style != "plain" or event.tag:
            return text
        value = resolve(text, self.limits)
        if isinstance(value, Refusal):
            self._report(value.code, value.message, span, value.help)
            # As a key it is reported once, here.
            return text
        return value

    def _place(self, node: Node, end: int, height: int) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.end = max(frame.end, end)
        frame.height = max(frame.height, height + 1)
        if self._continues_torn(frame, node):
            return
        frame.torn = self._starts_torn(frame, node)
        if isinstance(frame.node, Items):
            frame.node.append(node)
        elif frame.expects_key:
            frame.key = self._key(frame.node, node)
            frame.expects_key = False
        else:
            if frame.key is not None:
                frame.node[frame.key] = node
            frame.expects_key = True

    def _starts_torn(self, frame: _Open, node: Node) -> UnquotedCall | None:
        """Return the start of a call that a comma may have torn apart: it opens a bracket inside `[ ]` or `{ }`."""
        if self.file.text[frame.node.span.start] not in "[{":
            return None
        if isinstance(frame.node, Entries):
            named = not frame.expects_key and frame.key is not None and isinstance(node, Scalar)
            return torn(node, frame.node, frame.key) if named else None  # type: ignore[arg-type]
        if isinstance(node, Entries) and len(node) == 1 and self.file.text[node.span.start] != "{":
            ((key, value),) = node.items()
            return torn(value, node, key) if isinstance(value, Scalar) else None
        return torn(node, frame.node, len(frame.node)) if isinstance(node, Scalar) else None

    def _continues_torn(self, frame: _Open, node: Node) -> bool:
        """Take a piece of a torn call, and put the call together when it is whole."""
        if frame.torn is None:
            return False
        plain = node if isinstance(node, Scalar) and node.style == "plain" else None
        if isinstance(frame.node, Items):
            return plain is not None and self._add_piece(frame, frame.torn, plain)
        if frame.expects_key:
            frame.piece, frame.expects_key = plain, plain is None
            return plain is not None
        assert frame.piece is not None
        piece, frame.piece = frame.piece, None
        if plain is not None and not plain.text:
            frame.expects_key = True
            return self._add_piece(frame, frame.torn, piece)
        frame.key = self._key(frame.node, piece)
        return False

    def _add_piece(self, frame: _Open, call: UnquotedCall, piece: Scalar) -> bool:
        if call.add(piece):
            self.diagnostics.append(unquoted_call(call.span, call.comma))
            call.mend()
            frame.torn = None
        return True

    def _key(self, entries: Entries, node: Node) -> str | None:
        """Return the key to store the next value under, or report why it cannot be a key."""
        if not isinstance(node, Scalar):
            self._report("not-a-string-key", "a list or a mapping cannot be a key", node.span, "quote it")
            return None
        if not isinstance(node.value, str):
            help = f'quote it: "{shorten(node.text)}"' if node.text else "write a key in front of the colon"
            self._report("not-a-string-key", "a key is a text, and this is none", node.span, help)
            return None
        if node.value == "<<" and node.style == "plain":
            help = "write the keys out, or use a block with arguments"
            self._report("merge-key", "a spec has no merge keys", node.span, help)
            return None
        first = entries.keys_at.setdefault(node.value, node)
        if first is not node:
            labels = (Label(first.span, "first written here"),)
            self._report(
                "duplicate-key", f"`{shorten(node.value)}` is written twice", node.span, labels=labels
            )
            return None
        return node.value
