"""Sections `train` that mean harm: each is checked as any other part of a spec, and no file of data is opened."""

from __future__ import annotations

import copy
from random import Random

import pytest

from tests.hostile.originals import Original, document, originals, written
from tests.hostile.sections import retrain
from tests.hostile.trials import attempt, check_shown

EACH = 6
TRAINED = [each for each in originals() if "\ntrain:" in each.text]


@pytest.mark.parametrize("original", TRAINED, ids=str)
def test_a_section_is_read_or_refused_in_its_place(original: Original) -> None:
    refused = 0
    for number in range(EACH):
        draw, value = Random(f"train {original.text} {number}"), copy.deepcopy(document(original))
        retrain(draw, value, "train")
        files = written(original, value, json=draw.random() < 0.2)
        try:
            outcome = attempt(files, original.preset)
            check_shown(outcome.diagnostics)
        except Exception as error:
            raise AssertionError(f"number {number}:\n{value['train']}") from error
        refused += bool(outcome.diagnostics)
    assert refused, "nothing was wrong"
