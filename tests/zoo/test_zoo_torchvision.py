"""The specs of the zoo are the models of `torchvision`: to the last name, output, gradient and statistic.

That each one can be copied, compiled in one graph, exported and saved is tested in `tests/specs/test_every_spec.py`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.zoo import references
from tests.zoo.parity import Entry, differences, layers
from tests.zoo.parity_tests import DOUBLE, Parity, assert_within, fullgraph, training_in_double
from tests.zoo.references import MissingReference, torchvision
from tests.zoo.vision_entries import ENTRIES
from tests.zoo.zoo_table import recorded_parameters

FULL = [(entry, preset) for entry in ENTRIES for preset in entry.full]
NAMES = [f"{entry}-{preset}".rstrip("-") for entry, preset in FULL]


@pytest.fixture
def reference() -> None:
    """Skip a test where there is nothing to compare with."""
    try:
        torchvision()
    except MissingReference as missing:
        pytest.skip(str(missing))


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("entry", ENTRIES, ids=str)
class TestParity(Parity):
    """All models of torchvision can be compiled and exported, while training too."""

    def test_compiled(self, entry: Entry) -> None:
        model, reference = training_in_double(entry)
        assert_within(differences(model, reference, entry, torch.float64, fullgraph(model)), DOUBLE)

    def test_exported(self, entry: Entry) -> None:
        model, reference = training_in_double(entry)
        inputs = tuple(x.double() for x in entry.inputs())
        exported = torch.export.export(model, inputs).module()
        assert_within(differences(exported, reference, entry, torch.float64), DOUBLE)


def rates(model: nn.Module) -> dict[str, float]:
    """Return with which probability values or whole residuals are dropped, by the layer that does so."""
    found = {name: getattr(m, "p", getattr(m, "rate", 0)) for name, m in model.named_modules()}
    return {name: rate for name, rate in found.items() if rate}


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize(("entry", "preset"), FULL, ids=NAMES)
def test_at_full_size(entry: Entry, preset: str) -> None:
    """Every tensor and layer of the published sizes, without memory for any."""
    artifact = entry.artifact(preset or None)
    rows = artifact.plan.rows
    with torch.device("meta"):
        model, reference = entry.stand_alone(preset or None), entry.full[preset]()
    assert layers(model) == layers(reference)
    assert rates(model).items() <= rates(reference).items()
    ours = {name: row.shape for row in rows if row.persistent for name in row.names}
    assert ours == {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    elements = sum(row.elements for row in rows if row.kind == "parameter")
    assert elements == sum(p.numel() for p in reference.parameters())
    assert elements == recorded_parameters(entry)[preset]


@pytest.mark.usefixtures("reference")
def test_nothing_else_finds_the_reference() -> None:
    """Packages that look for torchvision, and break on one of another build, do not see this one."""
    visible = importlib.util.find_spec("torchvision")
    torchvision()
    assert importlib.util.find_spec("torchvision") == visible


def test_a_missing_reference_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(references, "FOLDER", tmp_path)
    with pytest.raises(MissingReference, match="make test"):
        torchvision.__wrapped__()
