"""YAML text -> events, by ruamel.yaml's parser. Its errors become diagnostics in `yaml_errors`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as ruamel
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scanner import Scanner

from spec_schema.diagnostics import refuse
from spec_schema.events import Event, Kind, too_deep
from spec_schema.limits import Limits
from spec_schema.offsets import Style
from spec_schema.source import SourceFile, Span
from spec_schema.yaml_errors import explain, explain_crash

_STYLES: dict[str | None, Style] = {"'": "single", '"': "double", "|": "literal", ">": "folded"}
_STARTS: dict[type, Kind] = {ruamel.SequenceStartEvent: "items", ruamel.MappingStartEvent: "entries"}
_ANCHOR = re.compile(r"&[^ \t\r\n,\[\]{}]+")
_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_TAG = re.compile(r"![^\s]*")
_DIRECTIVE = re.compile(r"^%.*", re.MULTILINE)
_YAML_1_2 = re.compile(r"%YAML +1\.2 *(#.*)?\r?")

# ruamel still takes these for line breaks, and does not count a byte order mark as a column. In YAML 1.2
# they are ordinary characters, so it is shown others in their place.
_MISREAD = "\x85\u2028\u2029\ufeff"


def yaml_events(file: SourceFile, limits: Limits) -> Iterator[Event]:
    """Give the events of the only document of a YAML file."""
    there, back = _disguise(file.text)
    documents = 0
    open_at: list[int] = []
    for event in _parsed(file, file.text.translate(there), limits, open_at):
        if isinstance(event, ruamel.DocumentStartEvent):
            _check_document(file, event, documents)
            documents += 1
        translated = _translate(file.text, event, back)
        if translated is not None:
            _track(open_at, translated)
            yield translated


def _parsed(file: SourceFile, text: str, limits: Limits, open_at: list[int]) -> Iterator[Any]:
    """Give the parser's own events, its errors explained."""
    parser = YAML(typ="safe", pure=True)
    parser.Scanner = _bounded_scanner(file, limits)
    try:
        yield from parser.parse(text)
    except YAMLError as error:
        raise explain(file, error, open_at) from None
    except (ValueError, OverflowError, IndexError, AssertionError):
        # The parser stumbles over a few texts that it should refuse, such as an escape beyond Unicode.
        raise explain_crash(file) from None


def _bounded_scanner(file: SourceFile, limits: Limits) -> type[Scanner]:
    """Return a scanner that stops at too many brackets: it reads ahead, in time quadratic in their depth."""

    class BoundedScanner(Scanner):
        def fetch_flow_collection_start(self, TokenClass: Any, to_push: Any) -> None:
            if self.flow_level >= limits.nesting:
                raise too_deep(file, self.reader.index, limits)
            super().fetch_flow_collection_start(TokenClass, to_push)

    return BoundedScanner


def _disguise(text: str) -> tuple[dict[int, str], dict[int, str]]:
    """Return translations to private characters that the text does not hold, and back."""
    used = [char for char in _MISREAD if char in text]
    if not used:
        return {}, {}
    present = set(text)
    spare = (chr(code) for code in range(0xF0000, sys.maxunicode) if chr(code) not in present)
    pairs = list(zip(used, spare, strict=False))
    return {ord(a): b for a, b in pairs}, {ord(b): a for a, b in pairs}


def _check_document(file: SourceFile, event: Any, documents: int) -> None:
    at = event.start_mark.index
    if documents:
        raise refuse(
            "several-documents",
            "a spec file holds one document, and a second one starts here",
            Span(file, at, min(at + 3, len(file.text))),
            help="write one file per spec",
        )
    for directive in _DIRECTIVE.finditer(file.text, 0, at if event.explicit else 0):
        if not _YAML_1_2.fullmatch(directive[0]):
            span = Span(file, directive.start(), directive.start() + len(directive[0].rstrip()))
            raise refuse("yaml-syntax", "the only directive is `%YAML 1.2`", span, help="leave the line out")


def _track(open_at: list[int], event: Event) -> None:
    """Keep where the collections start that are open, to point at one that is never closed."""
    if event.kind in ("items", "entries"):
        open_at.append(event.start)
    elif event.kind == "end":
        open_at.pop()


def _translate(text: str, event: Any, back: dict[int, str]) -> Event | None:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, ruamel.AliasEvent):
        return Event("alias", start, end, str(event.anchor).translate(back))
    if isinstance(event, ruamel.CollectionEndEvent):
        return Event("end", start, end)
    if not isinstance(event, ruamel.NodeEvent):
        return None
    anchor = None if event.anchor is None else str(event.anchor).translate(back)
    start, tag = _skip_properties(text, start, event)
    if not isinstance(event, ruamel.ScalarEvent):
        return Event(_STARTS[type(event)], start, max(start, end), anchor=anchor, tag=tag)
    start, style = min(start, end), _STYLES.get(event.style, "plain")
    value = event.value.translate(back) if back else event.value
    return Event("scalar", start, end, value, style, anchor, tag)


def _skip_properties(text: str, start: int, event: Any) -> tuple[int, tuple[int, int] | None]:
    """Return where the node itself starts, behind its anchor and tag, and where the tag stands."""
    tag = None
    if event.anchor is None and event.tag is None:
        return start, tag
    if event.tag is not None and event.anchor is not None:
        # The parser's mark may be that of the second property.
        before = re.search(r"![^\s]*[ \t]+\Z", text[max(0, start - 200) : start])
        start -= len(before[0]) if before else 0
    while matched := _ANCHOR.match(text, start) or _TAG.match(text, start):
        if matched[0][0] == "!":
            tag = matched.span()
        start = _skip_gap(text, matched.end())
    return start, tag or ((start, start) if event.tag is not None else None)


def _skip_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at
