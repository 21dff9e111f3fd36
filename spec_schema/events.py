"""What a YAML and a JSON text have in common: a flat stream of events, from which `reader` builds values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.limits import Limits
from spec_schema.offsets import Style
from spec_schema.source import SourceFile, Span

Kind = Literal["scalar", "alias", "items", "entries", "end"]


@dataclass(frozen=True, slots=True)
class Event:
    """One step through a document, with the characters `start` to `end` where it stands.

    `end` closes the innermost collection; its offsets are those of the closing bracket, or empty where
    the layout alone closes it.
    """

    kind: Kind
    start: int
    end: int
    text: str = ""
    """A scalar's decoded text, or the name that an alias refers to."""
    style: Style = "plain"
    anchor: str | None = None
    tag: tuple[int, int] | None = None
    """Where a tag stands; every tag is refused, but reading goes on."""


def too_deep(file: SourceFile, start: int, limits: Limits) -> SpecError:
    """Return the refusal of a collection that is nested too deeply."""
    message = f"more than {limits.nesting} levels of nesting"
    return refuse("too-deep", message, Span(file, start, start + 1))
