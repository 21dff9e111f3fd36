"""Specs that mean another thing: what compiles can be built, and what cannot is refused in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
import runtime
from compiler import Artifact
from tests.hostile.meanings import OF_MEANINGS, other_meaning
from tests.hostile.originals import originals
from tests.hostile.trials import attempt, check_shown

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
            outcome = attempt(files, original.preset)
            check_shown(outcome.diagnostics)
            built += outcome.artifact is not None and _is_built(outcome.artifact)
        except Exception as error:
            raise AssertionError(f"{done} of {original}, number {number}:\n{files.data!r}") from error
    assert built, "mutants that are all refused try nothing"


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
