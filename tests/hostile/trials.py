"""What comes of a hostile spec: it compiles, or is refused in its place; anything else is a bug of the compiler."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import compiler
from compiler.pipeline import compile_files
from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full, render_json, render_short
from tests.hostile.memory import Peak
from tests.hostile.originals import Changed, plugins

EMPTY = Diagnostic("empty", "refused without a reason", None)


@dataclass(frozen=True)
class Outcome:
    """`diagnostics` are empty if it compiled; `seconds` are of CPU, `megabytes` what it took at most."""

    diagnostics: tuple[Diagnostic, ...]
    seconds: float
    megabytes: int


def attempt(files: Changed, preset: str | None = None) -> Outcome:
    """Compile up to the emitted tree: shapes on meta, no weights. Whatever is no `SpecError` is let through."""
    peak, started = Peak(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile_files(files.main, files, None, preset, plugins(), DEFAULT_LIMITS)
            found: tuple[Diagnostic, ...] = ()
        except compiler.SpecError as error:
            found = error.diagnostics or (EMPTY,)
    return Outcome(found, time.process_time() - started, peak.megabytes())


def check_shown(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Check that each diagnostic stands inside its file, and that all of them can be shown on any terminal."""
    for each in diagnostics:
        assert each.span is not None, f"{each.code} is nowhere"
        for span in (each.span, *(label.span for label in each.labels)):
            assert 0 <= span.start <= span.end <= len(span.file.text), f"{each.code} is outside its file"
    shown = [render_full(diagnostics, False, DEFAULT_LIMITS), render_short(diagnostics, DEFAULT_LIMITS)]
    for text in (*shown, render_json(diagnostics)):
        assert all(char == "\n" or char.isprintable() for char in text), "a control character is shown"
        text.encode("utf-8")
