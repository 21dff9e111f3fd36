"""Diagnostics are values: what is wrong, where, why, and the way out. `render` makes text of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.shown import shown
from spec_schema.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Label:
    """A secondary place that explains the error, such as the declaration that caused it."""

    span: Span
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", shown(self.text))


@dataclass(frozen=True)
class Diagnostic:
    """One fact about a spec, located.

    `code` is stable and has a page (`explain CODE`). `message` is the headline: lower case, no full stop.
    `label` is a short text beside the caret. `notes` are facts; `help` is the way out, ready to paste. Whatever they
    quote, each is a line that is safe to print.
    """

    code: str
    message: str
    span: Span | None
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: Severity = "error"
    passed_over: bool = False
    """Whether the rest of the spec is checked as if this were not there."""

    def __post_init__(self) -> None:
        safe = {
            "message": shown(self.message),
            "label": shown(self.label),
            "notes": tuple(map(shown, self.notes)),
        }
        for name, text in safe.items():
            object.__setattr__(self, name, text)
        if self.help is not None:
            object.__setattr__(self, "help", shown(self.help))


class SpecError(Exception):
    """A spec or a file was refused. `diagnostics` holds every independent reason, in the order of the text."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = _in_order(diagnostics)
        lines = [f"{d.span}: {d.code}: {d.message}" for d in self.diagnostics[: DEFAULT_LIMITS.shown]]
        more = len(self.diagnostics) - len(lines)
        super().__init__("\n".join([*lines, *([f"... and {more:,} more"] if more else [])]))


def _in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place within each file; the files keep the order in which they come. What is one is said once."""
    found: dict[tuple[str, str, str], Diagnostic] = {}
    for each in diagnostics:
        found.setdefault((each.code, each.message, str(each.span)), each)
    given = tuple(found.values())
    files = {id(each.span.file): number for number, each in enumerate(reversed(given)) if each.span}
    return tuple(
        sorted(given, key=lambda d: (-files[id(d.span.file)], d.span.start) if d.span else (-len(given), 0))
    )


def refuse(
    code: str,
    message: str,
    span: Span | None,
    *,
    label: str = "",
    labels: tuple[Label, ...] = (),
    notes: tuple[str, ...] = (),
    help: str | None = None,
) -> SpecError:
    """Return the exception that reports one diagnostic, to be raised."""
    return SpecError([Diagnostic(code, message, span, label, labels, notes, help)])
