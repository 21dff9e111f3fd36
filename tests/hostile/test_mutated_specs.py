"""Ten thousand hostile specs: each compiles or is refused in its place, quickly, and nothing else happens.

The same mutants in each run. `make hostile` goes on to a million, see `endless.py`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hostile.mutators import mutant
from tests.hostile.originals import ROOT, Changed, originals
from tests.hostile.trials import attempt, check_shown

ITEMS, EACH = 20, 500
SECONDS = 20.0
"""Of CPU: what hangs. The promise is 2, on a machine that does nothing else; `endless.py` measures that."""
MEGABYTES = 300

GROWTH = """
import resource
from tests.hostile.mutators import mutant
from tests.hostile.originals import Changed, originals
from tests.hostile.trials import attempt

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

for original in originals():
    attempt(Changed(original, original.text.encode()), original.preset)
before = peak()
for number in range(600):
    original = originals()[number % len(originals())]
    attempt(mutant(original, 10_000 + number)[1], original.preset)
print(peak() - before)
"""


@pytest.mark.parametrize("original", originals(), ids=str)
def test_what_is_changed_was_valid(original: object) -> None:
    """Else a mutant would be refused for what its original was."""
    found = attempt(Changed(original, original.text.encode()), original.preset)  # type: ignore[attr-defined, arg-type]
    assert not found.diagnostics


@pytest.mark.parametrize("item", range(ITEMS))
def test_a_mutant_compiles_or_is_refused_in_its_place(item: int) -> None:
    everyone = originals()
    refused = 0
    for seed in range(item * EACH, (item + 1) * EACH):
        original, number = everyone[seed % len(everyone)], seed // len(everyone)
        done, files = mutant(original, number)
        try:
            outcome = attempt(files, original.preset)
            check_shown(outcome.diagnostics)
        except Exception as error:
            raise AssertionError(f"{done} of {original}, number {number}:\n{files.data!r}") from error
        assert outcome.seconds < SECONDS, f"{done} of {original}, number {number}"
        refused += bool(outcome.diagnostics)
    assert EACH * 0.6 < refused < EACH, "mutants that are all valid, or all wrong, try nothing"


def test_mutants_take_little_memory() -> None:
    command = [sys.executable, "-W", "ignore", "-c", GROWTH]
    grown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert int(grown) < MEGABYTES
