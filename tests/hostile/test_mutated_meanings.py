"""Specs that mean another thing: what compiles can be built, and what cannot is refused in its place."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import compiler
import runtime
from compiler import Artifact
from compiler.pipeline import compile_files
from spec_schema.limits import DEFAULT_LIMITS
from tests.hostile.meanings import OF_MEANINGS, other_meaning
from tests.hostile.originals import Changed, Original, originals, plugins
from tests.hostile.trials import check_shown

EACH = 70
SMALL = 1_000_000
"""Elements of a model that is built."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", range(len(OF_MEANINGS)), ids=[each.__name__ for each in OF_MEANINGS])
def test_what_compiles_can_be_built(kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no checkpoint is
    everyone, built = originals(), 0
    for seed in range(EACH):
        original, number = everyone[seed % len(everyone)], kind + seed // len(everyone) * len(OF_MEANINGS)
        done, files = other_meaning(original, number)
        try:
            artifact = _compiled(original, files)
            built += artifact is not None and _is_built(artifact)
        except Exception as error:
            raise AssertionError(f"{done} of {original}, number {number}:\n{files.data!r}") from error
    assert built, "mutants that are all refused try nothing"


def _compiled(original: Original, files: Changed) -> Artifact | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile_files(files.main, files, None, original.preset, plugins(), DEFAULT_LIMITS)
        except compiler.SpecError as error:
            found = error.diagnostics
    assert found, "refused without a reason"
    check_shown(found)
    return None


def _is_built(artifact: Artifact) -> bool:
    """Build what is small; what needs a checkpoint, which is not there, is refused."""
    if sum(row.tensor.numel() for row in artifact.plan.table.tensors) > SMALL:
        return False
    try:
        runtime.build(artifact, device="cpu")
    except compiler.SpecError as error:
        if {each.code for each in error.diagnostics} - {"checkpoint-missing"}:
            raise
        return False
    return True
