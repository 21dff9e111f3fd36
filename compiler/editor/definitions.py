"""Where a name is declared, and where it is used, in imported files too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsprotocol.types import Location, Position

from compiler.editor.document import Document
from compiler.editor.positions import Places, uri_of
from compiler.editor.reading import readable
from compiler.editor.scope import Name, dimensions, names_seen, word_at
from compiler.editor.work import Work
from compiler.rewriting.edits import Edit
from compiler.rewriting.rename import Target, edits_of, targets_named
from compiler.rewriting.uses import Use, uses
from spec_schema.keys import block_name, split_key
from spec_schema.reader import Entries, Scalar
from spec_schema.source import Span

MOST_FILES = 200
"""Specs beside one that are looked at for uses of its blocks."""


@dataclass(frozen=True)
class Text:
    """The text of a spec, as it is open in the editor or on disk, and what can be read of it."""

    path: Path
    text: str
    root: Entries
    uri: str

    def location(self, start: int, end: int) -> Location:
        """Return a part of the text."""
        return Location(self.uri, Places(self.text).range(start, end))


def text_of(document: Document) -> Text | None:
    """Return the text of a document as it is now."""
    root = document.readable()
    return Text(document.path, document.text, root, document.uri) if root is not None else None


def other_text(work: Work, path: Path) -> Text | None:
    """Return the text of another file, None if there is none that can be read."""
    for document in work.documents.values():
        if document.path == path:
            return text_of(document)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError):
        return None
    root = readable(text, str(path))
    return Text(path, text, root, uri_of(str(path))) if root is not None else None


# --- what stands at a place -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Symbol:
    """A name of a spec with the places at which it stands. `target` is None where it cannot be renamed."""

    name: str
    places: tuple[Edit, ...]
    target: Target | None = None

    @property
    def at(self) -> Edit:
        """Where it is declared."""
        return self.places[0]


def symbol_at(text: Text, offset: int) -> Symbol | None:
    """Return the variable, block, argument, layer, input or dimension that stands at a place."""
    word, _ = word_at(text.text, offset)
    if not word:
        return None
    found = [*uses(text.root)]
    here = next((use for use in found if _is_in(use.scalar.span, offset)), None)
    if here is None:
        return None
    targets = sorted(targets_named(text.root, found, word, word), key=lambda each: each.block != here.block)
    for target in targets:
        edits = edits_of(here, target, text.root, True, True)
        if any(edit.start <= offset <= edit.end for edit in edits):
            return _symbol(text, found, target)
    return _local(text, here, word)


def _symbol(text: Text, found: list[Use], target: Target) -> Symbol:
    edits = {edit for use in found for edit in edits_of(use, target, text.root, True, True)}
    declared = [use for use in found if _declares(use, target)]
    first = {edit for use in declared for edit in edits_of(use, target, text.root, True, True)}
    return Symbol(target.old, (*sorted(first), *sorted(edits - first)), target)


def _declares(use: Use, target: Target) -> bool:
    """Return whether a scalar is the key that declares a target."""
    if target.kind == "block":
        return use.role == "signature" and block_name(use.scalar.text) == target.old
    if target.kind == "layer":
        key = split_key(use.scalar.text)[0]
        return use.role == "layer" and use.block == target.block and key == target.old
    own = use.role == "variable" and use.scalar.text == target.old and use.path[-1:] == ("vars",)
    if target.kind == "variable":
        return own and use.block is None
    is_signature = use.role == "signature" and block_name(use.scalar.text) == target.block
    return (own and use.block == target.block) or is_signature


def _local(text: Text, here: Use, word: str) -> Symbol | None:
    """Return an input, a dimension, or what `as` calls a layer: of these only the declaration is known."""
    name: Name | None = names_seen(text.root, here.block).get(word) or dimensions(text.root).get(word)
    if name is None or name.kind == "block":
        return None
    at = name.place.text.rfind(word) if name.kind != "dimension" else name.place.text.find(word)
    place = name.place.locate(max(at, 0), max(at, 0) + len(word))
    return Symbol(word, (Edit(place.start, place.end, word),))


def _is_in(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end


# --- across files ---------------------------------------------------------------------------------------


def _imports(text: Text) -> Iterator[tuple[Path, str, str, Scalar]]:
    """Yield each block that a spec imports: its file, its name there and here, and where it is written."""
    files = text.root.get("import")
    for file, items in files.items() if isinstance(files, Entries) else ():
        path = text.path.parent / file
        for item in items if isinstance(items, list) else ():
            if isinstance(item, Scalar):
                yield path, item.text, item.text, item
            elif isinstance(item, Entries):
                for old, new in item.items():
                    if isinstance(new, Scalar):
                        yield path, old, new.text, item.keys_at[old]


def _file_at(text: Text, offset: int) -> Path | None:
    """Return the file whose name stands at a place of the section `import`."""
    files = text.root.get("import")
    for file, at in files.keys_at.items() if isinstance(files, Entries) else ():
        if _is_in(at.span, offset):
            return text.path.parent / file
    return None


def _imported(work: Work, text: Text, offset: int) -> tuple[Text, Symbol] | None:
    """Return the block of another file whose name stands at a place."""
    word, _ = word_at(text.text, offset)
    for path, old, new, _ in _imports(text):
        if word in (old, new) and (other := other_text(work, path)) is not None:
            found = [*uses(other.root)]
            for target in targets_named(other.root, found, old, old):
                if target.kind == "block":
                    return other, _symbol(other, found, target)
    return None


def definition(work: Work, document: Document, position: Position) -> list[Location]:
    """Return where what stands at a place is declared."""
    text, offset = text_of(document), document.places.offset(position)
    if text is None:
        return []
    if (file := _file_at(text, offset)) is not None:
        return [Location(uri_of(str(file)), Places("").range(0, 0))] if file.is_file() else []
    symbol = symbol_at(text, offset)
    if symbol is not None:
        return [text.location(symbol.at.start, symbol.at.end)]
    imported = _imported(work, text, offset)
    if imported is None:
        return []
    other, symbol = imported
    return [other.location(symbol.at.start, symbol.at.end)]


def references(work: Work, document: Document, position: Position, with_declaration: bool) -> list[Location]:
    """Return where what stands at a place is used, a block in all specs beside that import it."""
    text, offset = text_of(document), document.places.offset(position)
    if text is None:
        return []
    symbol, home = symbol_at(text, offset), text
    if symbol is None:
        imported = _imported(work, text, offset)
        if imported is None:
            return []
        home, symbol = imported
    places = symbol.places if with_declaration else symbol.places[1:]
    found = [home.location(edit.start, edit.end) for edit in places]
    if symbol.target is not None and symbol.target.kind == "block":
        found += _elsewhere(work, home, symbol.name)
    return found


def _elsewhere(work: Work, home: Text, name: str) -> Iterator[Location]:
    """Yield the uses of a block in specs that import it."""
    for other, edits in importers(work, home, name, name):
        yield from (other.location(edit.start, edit.end) for edit in edits)


def importers(work: Work, home: Text, name: str, new: str) -> Iterator[tuple[Text, list[Edit]]]:
    """Yield the specs that import a block, of those beside its file and those that are open, with edits of its name."""
    folders = {home.path.parent, home.path.parent.parent}
    paths = {path for folder in folders for path in folder.glob("*.yaml")}
    paths |= {document.path for document in work.documents.values()}
    for path in sorted(paths - {home.path})[:MOST_FILES]:
        other = other_text(work, path) if _may_import(work, path, home.path.name) else None
        found = [*_imports(other)] if other is not None else []
        items = [(at, there) for file, old, there, at in found if old == name and _is_same(file, home.path)]
        if other is not None and items:
            edits = {Edit(at.span.start, at.span.end, new) for at, _ in items}
            edits |= {edit for _, there in items if there == name for edit in _uses(other, name, new)}
            yield other, sorted(edits)


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _may_import(work: Work, path: Path, name: str) -> bool:
    if any(document.path == path for document in work.documents.values()):
        return True
    try:
        return name in path.read_text("utf-8", "replace")
    except OSError:
        return False


def _uses(text: Text, name: str, new: str) -> Iterator[Edit]:
    target = Target("block", None, name, new)
    for use in uses(text.root):
        yield from edits_of(use, target, text.root, True, True)
