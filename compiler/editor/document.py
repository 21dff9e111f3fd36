"""A spec that is open in an editor: its text, and what is known of it and of the texts before."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

from compiler.editor.analysis import Analysis
from compiler.editor.positions import Places, path_of
from compiler.editor.reading import readable
from spec_schema.diagnostics import Diagnostic
from spec_schema.reader import Entries
from spec_schema.source import SourceFile, Span

_SPEC = re.compile(r"""^\s*\{?\s*["']?spec["']?\s*:""", re.MULTILINE)
MOST_LINES = 400
"""Lines between the first and the last change of a text, up to which those that stayed are looked for."""
_BOM = "\ufeff"


@dataclass(eq=False)
class Document:
    """A text under an address, and what was found out about it."""

    uri: str
    text: str = ""
    number: int = 0
    """How often the text has changed."""
    current: Analysis | None = None
    """What is known of the text, or of one before, if that is not looked at yet."""
    good: Analysis | None = None
    """What is known of the last text that compiled."""
    root: Entries | None = None
    """What can be read of the last text of which anything could."""
    late: tuple[Diagnostic, ...] = ()
    """What the whole compiler found in the last text that it looked at, and a run at the example sizes did not."""
    published: set[str] = field(default_factory=set)
    """The files that have diagnostics of this spec."""

    def change(self, text: str) -> None:
        """Take a new text."""
        self.text = text.removeprefix(_BOM)
        self.number += 1
        self.__dict__.pop("places", None)

    @cached_property
    def places(self) -> Places:
        return Places(self.text)

    @property
    def path(self) -> Path:
        """Its file; one that is not saved yet is taken to be in the current folder."""
        return path_of(self.uri) or Path.cwd() / "untitled.yaml"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def is_spec(self) -> bool:
        """Whether it says that it is one: editors ask about all YAML files."""
        return _SPEC.search(self.text) is not None

    def take(self, found: Analysis) -> None:
        """Take what was found out about the text."""
        self.current = found
        self.root = found.root or self.root
        if found.is_whole:
            self.good = found

    def take_whole(self, found: tuple[Diagnostic, ...]) -> None:
        """Take what the whole compiler found in the text."""
        assert self.current is not None
        known = {(each.code, str(each.span)) for each in self.current.diagnostics}
        self.late = tuple(each for each in found if (each.code, str(each.span)) not in known)
        self.current.diagnostics = found

    def late_now(self) -> Iterator[Diagnostic]:
        """Yield what the whole compiler found before, where it stands now: it has not looked again yet."""
        for each in self.late:
            span = each.span
            if span is None or span.file.name != self.name:
                continue
            start, end = (shifted(at, span.file.text, self.text) for at in (span.start, span.end))
            if start is not None and end is not None:
                yield replace(each, span=Span(SourceFile(self.name, self.text), start, end), labels=())

    def readable(self) -> Entries | None:
        """Return what can be read of the text."""
        if self.current is not None and self.current.text == self.text:
            return self.current.root
        return readable(self.text, self.name)

    def read(self) -> Entries | None:
        """Return what can be read of the text; where nothing can, of the last text of which anything could."""
        self.root = self.readable() or self.root
        return self.root

    @property
    def imports(self) -> set[Path]:
        """The files that it imports."""
        known = self.current or self.good
        loaded = known.loaded if known is not None else None
        return (
            {Path(os.path.normpath(each.name)) for each in loaded.imports.values()}
            if loaded is not None
            else set()
        )


def shifted(offset: int, old: str, new: str) -> int | None:
    """Return where a place of one text is in the next one, None if it is in what changed."""
    if old == new:
        return offset
    return next((offset + more for start, end, more in _kept(old, new) if start <= offset <= end), None)


@lru_cache(maxsize=8)
def _kept(old: str, new: str) -> tuple[tuple[int, int, int], ...]:
    """Return the parts of a text that the next one has too: where each starts and ends, and how far it moved."""
    before = _common(old, new)
    behind = _common(old[before:][::-1], new[before:][::-1])
    first, last = (before, len(old) - behind), (before, len(new) - behind)
    lines = [text[slice(*part)].splitlines(keepends=True) for text, part in ((old, first), (new, last))]
    kept = [(0, before, 0)]
    if max(map(len, lines)) <= MOST_LINES:
        starts = [[*accumulate(map(len, each), initial=before)] for each in lines]
        for at, there, count in SequenceMatcher(
            None, lines[0], lines[1], autojunk=False
        ).get_matching_blocks()[:-1]:
            start = starts[0][at]
            kept.append((start, starts[0][at + count] - 1, starts[1][there] - start))
    return (*kept, (first[1], len(old), len(new) - len(old)))


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with that are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
