"""Rename: the verb `rename`, on a text that is open. What it writes is compiled and compared, as there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from lsprotocol.types import Position, Range, WorkspaceEdit

from compiler.editor.analysis import Origin, patient
from compiler.editor.definitions import Symbol, Text, importers, symbol_at, text_of
from compiler.editor.document import Document
from compiler.editor.positions import Places
from compiler.editor.work import Work
from compiler.pipeline import compile_model
from compiler.rewriting.edits import Edit, Editable, editable
from compiler.rewriting.proof import rows
from compiler.rewriting.rename import RenameError, check_new, full_name, renamed
from compiler.rewriting.uses import uses
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, read_text
from spec_schema.shown import ShownError

Other = tuple[Text, list[Edit]]
"""A spec that imports a block, with the edits that rename it there."""


class CannotRenameError(ShownError):
    """What stands at a place cannot be renamed; it says why."""


def renameable(document: Document, position: Position) -> tuple[Symbol, Range] | None:
    """Return what stands at a place and can be renamed, and where its name stands there."""
    text, offset = text_of(document), document.places.offset(position)
    symbol = symbol_at(text, offset) if text is not None else None
    if symbol is None or symbol.target is None:
        return None
    here = next(edit for edit in symbol.places if edit.start <= offset <= edit.end)
    return symbol, document.places.range(here.start, here.end)


def elsewhere(work: Work, document: Document, symbol: Symbol, new: str) -> list[Other]:
    """Return the specs that import a block, with the edits that give it another name there."""
    text = text_of(document)
    is_block = symbol.target is not None and symbol.target.kind == "block"
    return [*importers(work, text, symbol.name, new)] if text is not None and is_block else []


def rename(
    document: Document,
    origin: Origin,
    symbol: Symbol,
    new: str,
    others: Sequence[Other] = (),
    is_stale: Callable[[], bool] = bool,
) -> WorkspaceEdit:
    """Return the edits that give something another name, also in the specs that import it.

    Raises:
        CannotRenameError: the spec is refused as it is, or one of them would mean something else.
    """
    with patient(origin, is_stale):
        after = _renamed(origin, symbol, new)
    changes = {document.uri: document.places.edits([*edits(origin.text, after)])}
    for other, changed in others:
        _check_same(origin, after, other, changed, is_stale)
        changes[other.uri] = Places(other.text).edits(changed)
    return WorkspaceEdit(changes=changes)


def _renamed(origin: Origin, symbol: Symbol, new: str) -> str:
    """Return the text with another name in it."""
    assert symbol.target is not None
    before = editable(origin.text, origin.path, origin.name, origin.plugins, origin.import_paths)
    try:
        if origin.is_library:
            return _in_library(before, symbol, new)
        return renamed(before, full_name(symbol.target), new).text
    except RenameError as error:
        raise CannotRenameError(" ".join(filter(None, (f"{error}.", error.help)))) from None
    except SpecError as error:
        first = error.diagnostics[0]
        raise CannotRenameError(f"the spec does not compile: {first.message} ({first.span})") from None


def _in_library(before: Editable, symbol: Symbol, new: str) -> str:
    """Return a file of blocks with another name in it: there is no model that could be compared."""
    root = read_text(before.text, before.name, DEFAULT_LIMITS)
    assert isinstance(root, Entries)
    assert symbol.target is not None
    check_new([*uses(root)], replace(symbol.target, new=new))
    return before.edited(edit._replace(text=new) for edit in symbol.places).text


def _check_same(
    origin: Origin, after: str, other: Text, changed: list[Edit], is_stale: Callable[[], bool]
) -> None:
    """Make sure that a spec that imports the block is the same model."""
    main = os.path.normpath(origin.path)
    old = replace(origin, path=other.path, text=other.text, texts={**origin.texts, main: origin.text})
    text = editable(other.text, other.path, str(other.path), origin.plugins).edited(changed).text
    new = replace(old, text=text, texts={**origin.texts, main: after})
    if _outcome(old, is_stale) != _outcome(new, is_stale):
        raise CannotRenameError(f"{other.path.name}, which imports it, would mean something else")


def _outcome(origin: Origin, is_stale: Callable[[], bool]) -> object:
    """Return the tensors of a spec, or the codes of what it is refused for."""
    with patient(origin, is_stale):
        try:
            made = compile_model(origin.path.name, origin.files, None, None, origin.plugins, origin.limits)
        except SpecError as error:
            return [each.code for each in error.diagnostics]
    return rows(made)


def edits(old: str, new: str) -> Iterator[Edit]:
    """Yield the edits of lines that make one text of another."""
    before, after = (text.splitlines(keepends=True) for text in (old, new))
    starts = [*accumulate(map(len, before), initial=0)]
    head = _equal(before, after)
    tail = _equal(before[head:][::-1], after[head:][::-1])
    middle = before[head : len(before) - tail], after[head : len(after) - tail]
    matched = difflib.SequenceMatcher(None, *middle, autojunk=False)
    for kind, first, last, start, end in matched.get_opcodes():
        if kind != "equal":
            yield Edit(starts[head + first], starts[head + last], "".join(middle[1][start:end]))


def _equal(one: list[str], other: list[str]) -> int:
    """Return how many lines are the same at the beginning."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
