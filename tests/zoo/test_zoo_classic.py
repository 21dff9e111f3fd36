"""The specs of the zoo are the modules that one writes by hand: to the last name, output, gradient and statistic.

That each one can be copied, compiled in one graph, exported and saved is tested in `tests/specs/test_every_spec.py`.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.zoo.classic_entries import ENTRIES
from tests.zoo.parity import Entry, built, layers
from tests.zoo.parity_tests import Parity
from tests.zoo.zoo_table import recorded_parameters


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
class TestParity(Parity):
    def test_at_full_size(self, entry: Entry) -> None:
        """Every tensor and layer of the sizes of the paper, without memory for any."""
        artifact = entry.artifact(None)
        with torch.device("meta"):
            model, reference = entry.stand_alone(None), entry.full[""]()
        assert shapes(model) == shapes(reference)
        assert layers(model) == layers(reference)
        elements = sum(row.elements for row in artifact.plan.parameters)
        assert elements == sum(p.numel() for p in reference.parameters())
        assert elements == recorded_parameters(entry)[""]


def of(name: str) -> Entry:
    return next(entry for entry in ENTRIES if entry.spec == name)


def test_the_turns_of_pointnet_are_identities_at_first() -> None:
    entry = of("pointnet")
    _, turn = built(entry.artifact())(*entry.inputs())
    assert torch.equal(turn, torch.eye(4).expand_as(turn))


def test_lenet_starts_as_the_paper_says() -> None:
    model = built(of("lenet").artifact(None))
    values = model.state_dict()
    for name, inputs in {"c1": 25, "c3.maps.0": 75, "c3.maps.15": 150, "f6": 120}.items():
        largest = float(values[f"net.{name}.weight"].abs().max())
        assert 0.8 * 2.4 / inputs < largest < 2.4 / inputs
    codes = model.get_buffer("net.output.codes")
    assert torch.equal(codes.abs(), torch.ones(10, 84))
    assert 200 < (codes == 1).sum() < 640
