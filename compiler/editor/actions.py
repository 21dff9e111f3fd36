"""Quick fixes of the diagnostics at a place."""

from __future__ import annotations

from lsprotocol.types import CodeAction, CodeActionKind, Range, WorkspaceEdit

from compiler.editor.analysis import Analysis, analysed, compiled
from compiler.editor.diagnostics import shown
from compiler.editor.document import Document
from compiler.editor.fixes import Fix, fixes
from compiler.editor.work import Work
from spec_schema.diagnostics import Diagnostic

MOST = 3
"""Diagnostics for which fixes are looked for at once."""


async def actions(work: Work, document: Document, where: Range) -> list[CodeAction]:
    """Return the quick fixes of what is wrong at a place of the text."""
    found = document.current
    if found is None or found.text != document.text:
        return []
    start, end = (document.places.offset(each) for each in (where.start, where.end))
    there = [each for each in found.diagnostics if _is_there(each, document, start, end)][:MOST]
    number = document.number
    made = await work.run(
        lambda: [fix for each in there for fix in _fixes(work, found, each, each in document.late)]
    )
    if made is None or document.number != number:
        return []
    return [_action(document, each, fix) for each, fix in made]


def _is_there(found: Diagnostic, document: Document, start: int, end: int) -> bool:
    span = found.span
    return span is not None and span.file.name == document.name and span.start <= end and start <= span.end


def _fixes(
    work: Work, found: Analysis, diagnostic: Diagnostic, is_late: bool
) -> list[tuple[Diagnostic, Fix]]:
    """Return the fixes of one diagnostic, each tried by compiling the text with it."""

    def look(text: str) -> tuple[Diagnostic, ...]:
        origin = found.origin.with_text(text)
        if is_late:  # which only the whole compiler finds
            return compiled(origin, work.baton.hand_over)
        return analysed(origin, work.baton.hand_over).diagnostics

    return [(diagnostic, fix) for fix in fixes(diagnostic, found.text, found.diagnostics, look)]


def _action(document: Document, found: Diagnostic, fix: Fix) -> CodeAction:
    return CodeAction(
        title=fix.title,
        kind=CodeActionKind.QuickFix,
        diagnostics=[shown(found)],
        is_preferred=True,
        edit=WorkspaceEdit(changes={document.uri: document.places.edits([fix.edit])}),
    )
