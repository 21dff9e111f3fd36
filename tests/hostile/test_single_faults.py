"""One slip in a valid spec: what is reported points at it, and is little."""

from __future__ import annotations

from itertools import count

import pytest

from spec_schema.diagnostics import Diagnostic
from tests.hostile.faults import Fault, fault
from tests.hostile.originals import Changed, Original, originals
from tests.hostile.trials import attempt

ITEMS, EACH = 2, 500
MOST = 3
"""Errors for one fault."""


def judged(original: Original, slip: Fault, found: tuple[Diagnostic, ...]) -> str | None:
    """Return what is wrong with how a fault was reported, or None."""
    spans = [each.span for each in found if each.span and each.span.file.name == original.changed]
    shown = "\n  ".join(f"{each.span}: {each.code}: {each.message}" for each in found)
    if not any(span.start <= slip.end and span.end >= slip.start for span in spans):
        return f"{slip.what} in {original} was reported elsewhere:\n  {shown}"
    return f"{slip.what} in {original}: {len(found)} errors:\n  {shown}" if len(found) > MOST else None


@pytest.mark.parametrize("item", range(ITEMS))
def test_a_fault_is_found_where_it_is(item: int) -> None:
    everyone, missed, tried = originals(), list[str](), 0
    for seed in count(item, ITEMS):
        original = everyone[seed % len(everyone)]
        slip = fault(original, seed // len(everyone))
        if slip is None:
            continue
        found = attempt(Changed(original, slip.text.encode()), original.preset).diagnostics
        if found:  # else it is none: `x: float[bqjatch]` is as good as `float[batch]`
            tried += 1
            missed.extend(filter(None, [judged(original, slip, found)]))
        if tried == EACH:
            break
    assert len(missed) <= EACH // 100, "\n".join(missed)
    assert not any("errors:" in each for each in missed), "\n".join(missed)
