"""The forward of emitted source runs no more Python than a module written by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import runtime
from benchmarks.forward import Pair, pairs, python_calls


@pytest.mark.parametrize("pair", [pair for pair in pairs() if pair.number == 5], ids=lambda pair: pair.name)
def test_a_forward_calls_no_more_functions_than_by_hand(pair: Pair) -> None:
    with torch.no_grad():
        ours, theirs = (
            python_calls(partial(model.eval(), pair.inputs))
            for model in (runtime.build(pair.artifact, device="cpu"), pair.hand)
        )
    assert ours <= theirs
