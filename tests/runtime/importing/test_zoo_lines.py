"""A reference of the zoo, imported, is about as long as the spec that a person wrote of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.importing.imported import from_module
from runtime.importing.survey.modelling_lines import spec_lines
from tests.zoo import classic_entries, vision_entries
from tests.zoo.parity import ROOT, Entry
from tests.zoo.references import FOLDER

MOST = 1.5
BY_HAND = "lenet mlp_mixer pointnet seq2seq unet vae wavenet".split()
OF_TORCHVISION = "convnext mobilenet_v2 resnet vit".split()


def check(entries: tuple[Entry, ...], name: str) -> None:
    entry = next(each for each in entries if each.spec == name)
    made = from_module(entry.small(), entry.inputs(), prove_it=False)
    written = spec_lines(Path(ROOT, "specs", "zoo", f"{name}.yaml").read_text())
    assert spec_lines(made.text) <= MOST * written, made.text


@pytest.mark.parametrize("name", BY_HAND)
def test_a_module_that_is_written_by_hand(name: str) -> None:
    check(classic_entries.ENTRIES, name)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_a_module_of_torchvision(name: str) -> None:
    if not (FOLDER / "torchvision").is_dir():
        pytest.skip(f"torchvision is not in {FOLDER}: `make test` installs it")
    check(vision_entries.ENTRIES, name)
