"""Formatting: the canonical form, as `fmt` writes it."""

from __future__ import annotations

from lsprotocol.types import TextEdit

from compiler.editor.document import Document
from compiler.editor.renames import edits
from spec_schema.diagnostics import SpecError
from spec_schema.formatting.canonical_form import formatted


def formatting(document: Document) -> list[TextEdit]:
    """Return the edits that give a spec its canonical form; none where it cannot be read."""
    try:
        after = formatted(document.text, document.name)
    except SpecError:
        return []
    return document.places.edits([*edits(document.text, after)])
