"""Mutants of specs are formatted or refused, and what is formatted has its form."""

from __future__ import annotations

import pytest

from spec_schema.diagnostics import SpecError
from spec_schema.formatting.canonical_form import formatted
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_bytes
from tests.hostile.mutators import mutant
from tests.hostile.originals import originals

MUTANTS = 3
"""Of each spec."""


@pytest.mark.parametrize("number", range(MUTANTS))
def test_mutants_are_formatted_or_refused(number: int) -> None:
    done = 0
    for original in originals():
        _, changed = mutant(original, number)
        try:
            read_bytes(changed.data, "a.yaml", DEFAULT_LIMITS)
            found = formatted(changed.data.decode(), "a.yaml")
        except SpecError:
            continue
        assert formatted(found, "a.yaml") == found
        done += 1
    assert done > 10
