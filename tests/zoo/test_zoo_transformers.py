"""The specs of the zoo are the models of `transformers`: to the last name, tie, output and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.zoo import detr_entries, transformers_entries
from tests.zoo.parity import Entry, built, differences, draw, load_both_ways
from tests.zoo.parity_tests import SINGLE, Parity, assert_within, fullgraph
from tests.zoo.zoo_table import recorded_parameters

ENTRIES = [*transformers_entries.ENTRIES, *detr_entries.ENTRIES]
ONCE = {entry.spec: entry for entry in reversed(ENTRIES)}.values()
"""One entry of each spec."""
NO_GRAPH = frozenset({"mixtral", "qwen3_moe", "deepseek_v3", "detr"})
"""Specs whose reference torch puts into no graph: its loop goes over the experts that the data choose, or it asks while
training whether all is finite. Ours it does."""
FULL = [(entry, preset) for entry in ENTRIES for preset in entry.full]


def training(entry: Entry) -> tuple[nn.Module, nn.Module]:
    """Return a model and its reference with the same weights, while training."""
    model, reference = built(entry.artifact()).train(), draw(entry.small(attention="sdpa")).train()
    load_both_ways(model, reference)
    return model, reference


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
class TestParity(Parity):
    def test_while_training(self, entry: Entry) -> None:
        """From one seed both drop the same values: they draw equally often, in one order."""
        model, reference = training(entry)
        assert_within(differences(model, reference, entry, torch.float32), SINGLE)


@pytest.mark.parametrize("entry", ONCE, ids=str)
class TestGraphs:
    """In one graph while training, too. All references but those of `NO_GRAPH` can be compiled and exported."""

    def test_compiled(self, entry: Entry) -> None:
        model, reference = training(entry)
        assert_within(differences(model, reference, entry, torch.float32, fullgraph(model)), SINGLE)

    def test_exported(self, entry: Entry) -> None:
        model, reference = training(entry)
        exported = torch.export.export(model, entry.inputs()).module()
        assert_within(differences(model, reference, entry, torch.float32, exported), SINGLE)


@pytest.mark.parametrize("entry", [entry for entry in ONCE if entry.spec in NO_GRAPH], ids=str)
def test_a_reference_that_has_no_graph(entry: Entry) -> None:
    with pytest.raises(Exception, match="data-dependent"):
        torch.export.export(entry.small(), entry.inputs())


@pytest.mark.parametrize(("entry", "preset"), FULL, ids=lambda value: str(value) or "full")
def test_at_full_size(entry: Entry, preset: str) -> None:
    with torch.device("meta"):
        model, reference = entry.stand_alone(preset or None), entry.full[preset]()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert shapes == {name: p.shape for name, p in reference.named_parameters()}
    elements = sum(p.numel() for p in model.parameters())
    assert elements == sum(p.numel() for p in reference.parameters())
    assert elements == recorded_parameters(entry)[preset]
