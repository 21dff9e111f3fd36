"""What is tested of every entry of the zoo, whatever it is held against. `Parity` says it once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.zoo.parity import (
    Differences,
    Entry,
    built,
    differences,
    differences_in_double,
    draw,
    largest_difference,
    load_both_ways,
    statistics,
)

SINGLE, DOUBLE = 1e-5, 1e-10
"""What rounding may make of outputs and gradients in float32 and in float64."""


def assert_within(found: Differences, tolerance: float) -> None:
    assert found.outputs < tolerance
    assert found.gradients < tolerance


class Parity:
    """A family derives its `TestParity` from this, over its entries."""

    @pytest.mark.parametrize("make", [Entry.built, Entry.stand_alone], ids=["built", "stand-alone"])
    def test_in_float32(self, entry: Entry, make: Callable[[Entry], nn.Module]) -> None:
        model, reference = make(entry).eval(), draw(entry.small()).eval()
        load_both_ways(model, reference)
        assert_within(differences(model, reference, entry, torch.float32), SINGLE)

    def test_in_float64(self, entry: Entry) -> None:
        _, found = differences_in_double(entry)
        assert_within(found, DOUBLE)

    def test_while_training(self, entry: Entry) -> None:
        """From one seed both draw the same values, and their statistics move alike."""
        model, reference = training_in_double(entry)
        assert_within(differences(model, reference, entry, torch.float64), DOUBLE)
        ours, theirs = statistics(model), statistics(reference)
        assert ours.keys() == theirs.keys()
        assert all(largest_difference([ours[name]], [theirs[name]]) < DOUBLE for name in ours)


def training_in_double(entry: Entry) -> tuple[nn.Module, nn.Module]:
    """Return a model and its reference with the same weights, in float64, while training."""
    model, reference = built(entry.artifact()).double().train(), draw(entry.small()).double().train()
    load_both_ways(model, reference)
    return model, reference


def fullgraph(model: nn.Module) -> Callable[..., object]:
    """Return a model compiled in one graph."""
    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, backend="eager")
