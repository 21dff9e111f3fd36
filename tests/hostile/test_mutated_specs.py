"""Five thousand hostile specs: each compiles, and loads, or is refused in its place, quickly, and nothing else happens.

The same mutants in each run. `make hostile` goes on to a million, see `endless.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import pytest

from compiler.artifact import Artifact
from tests.hostile.meanings import hostile
from tests.hostile.originals import Changed, originals
from tests.hostile.trials import attempt, attempt_load, check_shown

ITEMS, EACH = 20, 250
LOADED = 8
"""Each model with buffers that a load computes is loaded, and of the others one in so many."""
SECONDS = 6.0
"""Of CPU. The promise is 2, on a machine that does nothing else: a busy one takes up to three times as long."""
MEGABYTES = 300


@pytest.mark.parametrize("original", originals(), ids=str)
def test_what_is_changed_was_valid(original: object) -> None:
    """Else a mutant would be refused for what its original was."""
    found = attempt(Changed(original, original.text.encode()), original.preset)  # type: ignore[attr-defined, arg-type]
    assert not found.diagnostics


@pytest.mark.parametrize("item", range(ITEMS))
def test_a_mutant_compiles_or_is_refused_in_its_place(
    item: int, record_property: Callable[[str, object], None]
) -> None:
    everyone = originals()
    attempt(Changed(everyone[0], everyone[0].text.encode()))  # imports torch
    refused, loaded, slowest, largest = 0, 0, (0.0, ""), (0, "")
    for seed in range(item * EACH, (item + 1) * EACH):
        original, number = everyone[seed % len(everyone)], seed // len(everyone)
        done, files = hostile(original, number)
        title = f"{done} of {original}, number {number}"
        try:
            outcome = attempt(files, original.preset)
            check_shown(outcome.diagnostics)
            load = attempt_load(outcome.artifact) if _is_loaded(outcome.artifact, seed) else None
        except Exception as error:
            raise AssertionError(f"{title}:\n{files.data!r}") from error
        for each, what in ((outcome, title), (load, f"the load of {title}")):
            if each is not None:
                slowest, largest = max(slowest, (each.seconds, what)), max(largest, (each.megabytes, what))
        refused, loaded = refused + bool(outcome.diagnostics), loaded + (load is not None)
    record_property("slowest", slowest)
    record_property("largest", largest)
    assert slowest[0] < SECONDS, slowest[1]
    assert largest[0] < MEGABYTES, largest[1]
    assert EACH * 0.6 < refused < EACH, "mutants that are all valid, or all wrong, try nothing"
    assert loaded, "nothing was loaded"


def _is_loaded(artifact: Artifact | None, seed: int) -> TypeGuard[Artifact]:
    if artifact is None:
        return False
    return seed % LOADED == 0 or not all(row.persistent for row in artifact.plan.rows)
