"""The specs of the zoo are the models of `torchvision`: to the last name, output, gradient and statistic.

That each one can be copied, compiled in one graph, exported and saved is tested in `tests/specs/test_every_spec.py`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from compiler import Artifact
from tests.zoo import references
from tests.zoo.parity import (
    Entry,
    built,
    differences,
    draw,
    largest_difference,
    layers,
    load_both_ways,
    stand_alone,
    statistics,
)
from tests.zoo.references import MissingReference, torchvision
from tests.zoo.vision_entries import ENTRIES
from tests.zoo.zoo_table import recorded_parameters

FULL = [(entry, preset) for entry in ENTRIES for preset in entry.full]
NAMES = [f"{entry}-{preset}".rstrip("-") for entry, preset in FULL]


def reference_of(make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except MissingReference as missing:
        pytest.skip(str(missing))


def small(entry: Entry) -> nn.Module:
    return draw(reference_of(entry.small))


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
class TestParity:
    @pytest.mark.parametrize("make", [built, stand_alone], ids=["built", "stand-alone"])
    def test_in_float32(self, entry: Entry, make: Callable[[Artifact], nn.Module]) -> None:
        model, reference = make(entry.artifact()).eval(), small(entry).eval()
        load_both_ways(model, reference)
        found = differences(model, reference, entry, torch.float32)
        assert found.outputs < 1e-5
        assert found.gradients < 1e-5

    @pytest.mark.parametrize("train", [False, True], ids=["evaluating", "training"])
    def test_in_float64(self, entry: Entry, train: bool) -> None:
        """Training too: from one seed both drop the same values, and their statistics move alike."""
        model = built(entry.artifact()).double().train(train)
        reference = small(entry).double().train(train)
        load_both_ways(model, reference)
        found = differences(model, reference, entry, torch.float64)
        assert found.outputs < 1e-10
        assert found.gradients < 1e-10
        ours, theirs = statistics(model), statistics(reference)
        assert ours.keys() == theirs.keys()
        assert all(largest_difference([ours[name]], [theirs[name]]) < 1e-10 for name in ours)

    def test_compiled(self, entry: Entry) -> None:
        """In one graph while training, too, as all models of torchvision can be."""
        model, reference = built(entry.artifact()).double().train(), small(entry).double().train()
        load_both_ways(model, reference)
        torch._dynamo.reset()
        graph = torch.compile(model, fullgraph=True, backend="eager")
        found = differences(model, reference, entry, torch.float64, graph)
        assert found.outputs < 1e-10
        assert found.gradients < 1e-10

    def test_exported(self, entry: Entry) -> None:
        model, reference = built(entry.artifact()).double().train(), small(entry).double().train()
        load_both_ways(model, reference)
        inputs = tuple(x.double() for x in entry.inputs())
        exported = torch.export.export(model, inputs).module()
        found = differences(exported, reference, entry, torch.float64)
        assert found.outputs < 1e-10
        assert found.gradients < 1e-10


def rates(model: nn.Module) -> dict[str, float]:
    """Return with which probability values or whole residuals are dropped, by the layer that does so."""
    found = {name: getattr(m, "p", getattr(m, "rate", 0)) for name, m in model.named_modules()}
    return {name: rate for name, rate in found.items() if rate}


@pytest.mark.parametrize(("entry", "preset"), FULL, ids=NAMES)
def test_at_full_size(entry: Entry, preset: str) -> None:
    """Every tensor and layer of the published sizes, without memory for any."""
    artifact = entry.artifact(preset or None)
    rows = artifact.plan.rows
    with torch.device("meta"):
        model, reference = stand_alone(artifact), reference_of(entry.full[preset])
    assert layers(model) == layers(reference)
    assert rates(model).items() <= rates(reference).items()
    ours = {name: row.shape for row in rows if row.persistent for name in row.names}
    assert ours == {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    elements = sum(row.elements for row in rows if row.kind == "parameter")
    assert elements == sum(p.numel() for p in reference.parameters())
    assert elements == recorded_parameters(entry)[preset]


def test_nothing_else_finds_the_reference() -> None:
    """Packages that look for torchvision, and break on one of another build, do not see this one."""
    visible = importlib.util.find_spec("torchvision")
    reference_of(torchvision)
    assert importlib.util.find_spec("torchvision") == visible


def test_a_missing_reference_is_a_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(references, "FOLDER", tmp_path)
    with pytest.raises(pytest.skip.Exception, match="make test"):
        reference_of(torchvision.__wrapped__)
