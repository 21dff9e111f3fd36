"""The outline of a spec: its sections, blocks and layers."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol.types import DocumentSymbol, SymbolKind

from compiler.editor.document import Document
from compiler.editor.positions import Places
from compiler.editor.scope import written
from spec_schema.reader import Entries, Items, Node, Scalar

_KINDS = {
    "import": SymbolKind.Module,
    "vars": SymbolKind.Constant,
    "presets": SymbolKind.Enum,
    "inputs": SymbolKind.Variable,
    "dims": SymbolKind.TypeParameter,
    "blocks": SymbolKind.Class,
    "layers": SymbolKind.Field,
    "parameters": SymbolKind.Property,
    "buffers": SymbolKind.Property,
    "share": SymbolKind.Interface,
    "metrics": SymbolKind.Field,
}
"""What the entries of a section are."""
_OPEN = ("blocks", "layers", "model")
"""Sections whose entries have an inside."""


def outline(document: Document) -> list[DocumentSymbol]:
    """Return what a spec has, as far as it can be read."""
    root = document.readable()
    return [*_entries(root, "", document.places)] if root is not None else []


def _entries(node: Node, section: str, places: Places) -> Iterator[DocumentSymbol]:
    """Yield the entries of a mapping, or the items of a list."""
    if isinstance(node, Items):
        for number, item in enumerate(node):
            yield from _item(item, number, places)
    elif isinstance(node, Entries):
        for key, at in node.keys_at.items():
            yield _symbol(at, node[key], section, places)


def _item(node: Node, number: int, places: Places) -> Iterator[DocumentSymbol]:
    """Yield an item of a list: by its name, or by its number."""
    if isinstance(node, Entries) and len(node) == 1:
        yield from _entries(node, "layers", places)
        return
    where = places.range(node.span.start, node.span.end)
    yield DocumentSymbol(str(number), SymbolKind.Field, where, where, written(node))


def _symbol(key: Scalar, value: Node, section: str, places: Places) -> DocumentSymbol:
    children: list[DocumentSymbol] = []
    name = key.text.partition("(")[0].strip()
    if not section or section in _OPEN:
        children = [*_entries(value, _section(name, section), places)]
    kind = _KINDS.get(section, SymbolKind.Namespace if children else SymbolKind.Property)
    if section == "" and name == "model":
        kind = SymbolKind.Class
    return DocumentSymbol(
        name=key.text,
        kind=SymbolKind.Function if name == "forward" else kind,
        range=places.range(key.span.start, max(value.span.end, key.span.end)),
        selection_range=places.range(key.span.start, key.span.end),
        detail=written(value) if isinstance(value, Scalar) and "\n" not in value.text else None,
        children=children or None,
    )


def _section(name: str, around: str) -> str:
    """Return the section that the entries of a key are in."""
    if name in _KINDS or name == "model":
        return "model" if name == "model" else name
    return "model" if around == "blocks" else "values"
