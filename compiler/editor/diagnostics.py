"""The compiler's diagnostics as an editor shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from lsprotocol.types import (
    Diagnostic,
    DiagnosticRelatedInformation,
    DiagnosticSeverity,
    Location,
    Position,
    Range,
)

from compiler.editor.positions import range_of, uri_of
from spec_schema import diagnostics as own
from spec_schema.source import Span

SOURCE = "blockprint"
_SEVERITIES = {"error": DiagnosticSeverity.Error, "warning": DiagnosticSeverity.Warning}
_START = Range(Position(0, 0), Position(0, 1))


def by_file(found: Iterable[own.Diagnostic], main: str, uri: str) -> Mapping[str, list[Diagnostic]]:
    """Return diagnostics by the addresses of the files that they are in; those of no file stand in `main`."""
    files: dict[str, list[Diagnostic]] = defaultdict(list)
    files[uri] = []
    for each in found:
        name = each.span.file.name if each.span is not None and _is_in_file(each.span) else main
        files[uri if name == main else uri_of(name)].append(shown(each))
    return files


def _is_in_file(span: Span) -> bool:
    """Return whether a span is in a file, and not in an option of the caller's, such as `--set`."""
    return not span.file.name.startswith("--")


def shown(found: own.Diagnostic) -> Diagnostic:
    """Return one diagnostic: headline, label, notes and help are its message."""
    span = found.span
    return Diagnostic(
        range=range_of(span) if span is not None and _is_in_file(span) else _START,
        message="\n".join(_lines(found)),
        severity=_SEVERITIES[found.severity],
        code=found.code,
        source=SOURCE,
        related_information=[
            DiagnosticRelatedInformation(
                Location(uri_of(label.span.file.name), range_of(label.span)), label.text
            )
            for label in found.labels
            if _is_in_file(label.span)
        ],
    )


def _lines(found: own.Diagnostic) -> Iterator[str]:
    yield f"{found.message}: {found.label}" if found.label else found.message
    yield from (f"note: {note}" for note in found.notes)
    if found.help is not None:
        yield f"help: {found.help}"
