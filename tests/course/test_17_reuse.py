"""System 17: the first two layers of a pretrained network, frozen, under a new head that is trained."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from twins import COURSE, ROOT, assert_same, built, compiled, drawn

import compiler
import runtime
from runtime.train import train as train_spec

KEPT = ["hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias"]
NEW = ["head.weight", "head.bias"]


def digits() -> tuple[Tensor, Tensor]:
    """Images, and whether each is of an odd digit."""
    with np.load(ROOT / "specs" / "data" / "digits.npz") as data:
        return torch.from_numpy(data["images"][:256]), torch.from_numpy(data["labels"][:256]) % 2


def train(model: nn.Module, labels: Tensor, images: Tensor, steps: int = 20) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.fixture
def pretrained(tmp_path: Path) -> nn.Module:
    model = built("17_pretrained")
    images, odd = digits()
    train(model, odd, images, steps=5)
    runtime.save(model, tmp_path / "out" / "pretrained.safetensors")
    return model


@pytest.fixture
def reuse(pretrained: nn.Module, tmp_path: Path) -> nn.Module:
    folder = tmp_path / "specs" / "course"
    folder.mkdir(parents=True)
    return runtime.build(compiled("17_reuse"), device="cpu", folder=folder)


def test_the_first_two_layers_are_those_of_the_pretrained_network(
    pretrained: nn.Module, reuse: nn.Module
) -> None:
    for name in KEPT:
        assert torch.equal(reuse.get_parameter(name), pretrained.get_parameter(name))
        assert reuse.get_parameter(name) is not pretrained.get_parameter(name)


def test_what_is_frozen_is_the_first_two_layers(reuse: nn.Module) -> None:
    assert [name for name, each in reuse.named_parameters() if not each.requires_grad] == KEPT
    assert [name for name, each in reuse.named_parameters() if each.requires_grad] == NEW


def test_it_is_the_module_written_by_hand(reuse: nn.Module) -> None:
    twin = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )
    for name, layer in (("hidden1", twin[1]), ("hidden2", twin[3]), ("head", twin[5])):
        layer.load_state_dict(reuse.get_submodule(name).state_dict())
    assert torch.equal(reuse(drawn(3, 1, 8, 8)), twin(drawn(3, 1, 8, 8)))
    twin[1].requires_grad_(False)
    twin[3].requires_grad_(False)
    renamed = nn.Sequential()
    for title, layer in zip(("0", "hidden1", "2", "hidden2", "4", "head"), twin, strict=True):
        renamed.add_module(title, layer)
    assert_same(reuse, renamed, drawn(3, 1, 8, 8))


def test_training_moves_the_head_and_nothing_else(pretrained: nn.Module, reuse: nn.Module) -> None:
    before = {name: each.detach().clone() for name, each in reuse.named_parameters()}
    images, odd = digits()
    losses = train(reuse, odd, images)
    assert losses[-1] < losses[0]
    for name in KEPT:
        assert torch.equal(reuse.get_parameter(name), before[name])
        assert torch.equal(reuse.get_parameter(name), pretrained.get_parameter(name))
    for name in NEW:
        assert not torch.equal(reuse.get_parameter(name), before[name])


def test_a_saved_network_is_still_frozen(reuse: nn.Module, tmp_path: Path) -> None:
    runtime.save(reuse, tmp_path / "reuse.safetensors")
    (tmp_path / "out" / "pretrained.safetensors").unlink()
    again = runtime.load(tmp_path / "reuse.safetensors", device="cpu")
    assert [name for name, each in again.named_parameters() if not each.requires_grad] == KEPT


def test_run_trains_the_head_of_what_an_earlier_run_saved(tmp_path: Path) -> None:
    shutil.copytree(COURSE, tmp_path / "specs" / "course")
    shutil.copytree(ROOT / "specs" / "data", tmp_path / "specs" / "data")
    trained = {}
    for name in ("17_pretrained", "17_reuse"):
        spec = tmp_path / "specs" / "course" / f"{name}.yaml"
        spec.write_text(spec.read_text().replace("batch: 64", "batch: 512"))  # fewer steps
        artifact = compiler.compile(spec)
        trained[name] = train_spec(
            artifact,
            device="cpu",
            out=tmp_path / "out",
            epochs=1,
            progress=False,
            data_paths=[tmp_path / "specs" / "data"],
        )
    before, reused = trained["17_pretrained"], trained["17_reuse"]
    first = runtime.build(compiler.compile(tmp_path / "specs" / "course" / "17_reuse.yaml"), device="cpu")
    saved = runtime.load(reused.path, device="cpu")
    for name in KEPT:
        assert torch.equal(saved.get_parameter(name), before.model.get_parameter(name))
        assert torch.equal(reused.model.get_parameter(name), before.model.get_parameter(name))
    for name in NEW:
        assert torch.equal(saved.get_parameter(name), reused.model.get_parameter(name))
        assert not torch.equal(saved.get_parameter(name), first.get_parameter(name))
