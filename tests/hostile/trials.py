"""What comes of a hostile spec: it compiles, or is refused in its place; anything else is a bug of the compiler.

A small one that compiles is loaded, too, from a file with its spec: a load computes what is not saved.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.pipeline import compile_files
from runtime.files.sealed import seal
from runtime.manifest import plan_digest, saved_rows
from runtime.store import KIND
from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full, render_json, render_short
from tests.hostile.memory import Peak
from tests.hostile.originals import Changed, plugin_files, plugins

EMPTY = Diagnostic("empty", "refused without a reason", None)


LARGEST = 1_000_000
"""Numbers in a model that is loaded."""
COSTLY = {"too-much-work", "too-large-to-build"}
"""Why what compiles is not loaded."""


@dataclass(frozen=True)
class Outcome:
    """`diagnostics` are empty if it compiled, to an `artifact`, or was loaded.

    `seconds` are of CPU, `megabytes` what it took at most.
    """

    diagnostics: tuple[Diagnostic, ...]
    seconds: float
    megabytes: int
    artifact: Artifact | None = None


def attempt(files: Changed, preset: str | None = None) -> Outcome:
    """Compile up to the emitted tree: shapes on meta, no weights. Whatever is no `SpecError` is let through."""
    peak, started, artifact = Peak(), time.process_time(), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            artifact = compile_files(files.main, files, None, preset, plugins(), DEFAULT_LIMITS)
            found: tuple[Diagnostic, ...] = ()
        except compiler.SpecError as error:
            found = error.diagnostics or (EMPTY,)
    return Outcome(found, time.process_time() - started, peak.megabytes(), artifact)


def attempt_load(artifact: Artifact) -> Outcome | None:
    """Load a model of zeros, or return None for a large one. Whatever is no refusal of its cost is let through."""
    if sum(row.elements for row in saved_rows(artifact.plan)) > LARGEST:
        return None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = _sealed(artifact, Path(folder) / "model.safetensors")
        peak, started = Peak(), time.process_time()
        try:
            runtime.load(path, "cpu", plugin_files())
            found: tuple[Diagnostic, ...] = ()
        except compiler.SpecError as error:
            found = error.diagnostics or (EMPTY,)
        assert {each.code for each in found} <= COSTLY, found
        return Outcome(found, time.process_time() - started, peak.megabytes())


def _sealed(artifact: Artifact, path: Path) -> Path:
    """Write a model of zeros, as a stranger would: without a model."""
    about = {**artifact.canonical, "plan": plan_digest(artifact.plan), "versions": {}}
    zeros = {row.name: torch.zeros(row.shape, dtype=row.dtype) for row in saved_rows(artifact.plan)}
    with path.open("wb") as stream:
        seal(stream, KIND, about, zeros)
    return path


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
