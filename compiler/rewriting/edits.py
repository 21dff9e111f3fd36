"""The text of a spec with parts of it replaced, and what is compiled of it."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from compiler.artifact import Artifact
from compiler.catalogue.plugins import Registry
from compiler.load import DiskFiles
from compiler.pipeline import compile_files
from spec_schema.formatting.canonical_form import is_json, tree_from
from spec_schema.formatting.scalars_written import can_be_plain, flow_text
from spec_schema.formatting.tree import Leaf, Tree
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.source import Span

_COMMENT = re.compile(r" {2,}(?=#)")
"""The blanks in front of a comment."""


class Edit(NamedTuple):
    """The characters `start` to `end` of a text, and what is to stand there."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Replaced:
    """Files of which the main one has another text."""

    files: DiskFiles
    main: str
    text: str

    def read(self, path: str) -> tuple[bytes, str]:
        if path != self.main:
            return self.files.read(path)
        return self.text.encode(), str(self.files.main)


@dataclass(frozen=True)
class Editable:
    """The text of a spec, and how it is compiled."""

    text: str
    path: Path
    plugins: Registry
    import_paths: tuple[Path, ...]
    name: str

    @property
    def is_json(self) -> bool:
        return is_json(self.name)

    @cached_property
    def tree(self) -> Tree:
        """The text as it is laid out."""
        return tree_from(self.text, self.name)

    @property
    def leaves(self) -> list[Leaf]:
        """The scalars of the text, in its order."""
        return self.tree.leaves

    def leaf_at(self, at: int) -> Leaf | None:
        """Return the scalar that a place is in."""
        number = bisect_right(self.leaves, at, key=lambda leaf: leaf.start) - 1
        leaf = self.leaves[number] if number >= 0 else None
        return leaf if leaf is not None and at < leaf.end else None

    def holds(self, span: Span) -> bool:
        """Return whether a place is in this text, and not in one that it imports."""
        return span.file.text == self.text and span.file.name == self.name

    def has_comment(self, start: int, end: int) -> bool:
        """Return whether a comment stands in a part of the text."""
        at = start
        for leaf in self.leaves:
            if leaf.start >= start and leaf.start < end:
                if "#" in self.text[at : leaf.start]:
                    return True
                at = leaf.end
        return "#" in self.text[min(at, end) : end]

    def edited(self, edits: Iterable[Edit]) -> Editable:
        """Return the spec with parts of its text replaced."""
        pieces, at = [], 0
        given = list(edits)
        for edit in sorted([*given, *self._gaps(given)]):
            assert edit.start >= at, "two edits of one place"
            pieces += [self.text[at : edit.start], edit.text]
            at = edit.end
        return self.with_text("".join([*pieces, self.text[at:]]))

    def _gaps(self, edits: list[Edit]) -> Iterator[Edit]:
        """Yield the edits of blanks that keep the comments behind changed lines in their columns."""
        longer: dict[int, int] = {}
        for edit in edits:
            end = self.text.find("\n", edit.end)
            end = len(self.text) if end < 0 else end
            if "\n" not in self.text[edit.start : edit.end] and "\n" not in edit.text:
                longer[end] = longer.get(end, 0) + len(edit.text) - (edit.end - edit.start)
        for end, more in longer.items():
            start = max(edit.end for edit in edits if edit.end <= end)
            for found in _COMMENT.finditer(self.text, start, end):
                if more and self.leaf_at(found.end()) is None:
                    yield Edit(*found.span(), " " * max(found.end() - found.start() - more, 2))
                    break

    def with_text(self, text: str) -> Editable:
        """Return the spec with another text."""
        return replace(self, text=text)

    def written(self, value: object, at: int | None = None) -> str:
        """Return a plain value as it can stand at a place of the text, or anywhere."""
        if self.is_json:
            return json.dumps(value)
        bare = at is not None and isinstance(value, str) and can_be_plain(value, self.in_brackets(at))
        return str(value) if bare else flow_text(value)

    def in_brackets(self, at: int) -> bool:
        """Return whether the entry that begins last in front of a place stands in brackets."""
        entries = self.tree.entries
        number = bisect_right(entries, at, key=lambda entry: entry.start) - 1
        return number >= 0 and entries[number].owner.flow

    def compiled(self) -> Artifact:
        """Compile.

        Raises:
            SpecError: the spec is refused.
        """
        files = _Replaced(DiskFiles(self.path, self.import_paths), self.path.name, self.text)
        return compile_files(self.path.name, files, None, None, self.plugins, DEFAULT_LIMITS)


def editable(
    text: str, path: Path, name: str, plugins: Registry, import_paths: Iterable[Path] = ()
) -> Editable:
    """Return a spec that can be rewritten."""
    return Editable(text.removeprefix("\ufeff"), path, plugins, tuple(import_paths), name)
