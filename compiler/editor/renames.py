"""Rename: the verb `rename`, on a text that is open. What it writes is compiled and compared, as there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from lsprotocol.types import Position, Range, WorkspaceEdit

from compiler.editor.analysis import Origin, patient
from compiler.editor.definitions import Symbol, symbol_at, text_of
from compiler.editor.document import Document
from compiler.rewriting.edits import Edit, editable
from compiler.rewriting.rename import RenameError, full_name, renamed
from spec_schema.diagnostics import SpecError


class CannotRenameError(Exception):
    """What stands at a place cannot be renamed; it says why."""


def renameable(document: Document, position: Position) -> tuple[Symbol, Range] | None:
    """Return what stands at a place and can be renamed, and where its name stands there."""
    text, offset = text_of(document), document.places.offset(position)
    symbol = symbol_at(text, offset) if text is not None else None
    if symbol is None or symbol.target is None:
        return None
    here = next(edit for edit in symbol.places if edit.start <= offset <= edit.end)
    return symbol, document.places.range(here.start, here.end)


def rename(
    document: Document, origin: Origin, symbol: Symbol, new: str, is_stale: Callable[[], bool] = bool
) -> WorkspaceEdit:
    """Return the edits that give something another name, in the order of the text.

    Raises:
        CannotRenameError: the spec is refused as it is, or would mean something else.
    """
    assert symbol.target is not None
    before = editable(origin.text, origin.path, origin.name, origin.plugins, origin.import_paths)
    try:
        with patient(origin, is_stale):
            after = renamed(before, full_name(symbol.target), new)
    except RenameError as error:
        raise CannotRenameError(" ".join(filter(None, (f"{error}.", error.help)))) from None
    except SpecError as error:
        first = error.diagnostics[0]
        raise CannotRenameError(f"the spec does not compile: {first.message} ({first.span})") from None
    return WorkspaceEdit(changes={document.uri: document.places.edits([*edits(origin.text, after.text)])})


def edits(old: str, new: str) -> Iterator[Edit]:
    """Yield the edits of lines that make one text of another."""
    before, after = (text.splitlines(keepends=True) for text in (old, new))
    starts = [0]
    for line in before:
        starts.append(starts[-1] + len(line))
    matched = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, first, last, start, end in matched.get_opcodes():
        if kind != "equal":
            yield Edit(starts[first], starts[last], "".join(after[start:end]))
