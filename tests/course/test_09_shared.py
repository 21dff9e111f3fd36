"""System 9: one layer in two places, by its name and by a rule."""

import copy
import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from twins import COURSE, ROOT, assert_same, built, drawn, redraw

import compiler
import runtime
from runtime.train import train
from runtime.training.outcome import Trained

DATA = ROOT / "specs" / "data"


class Shared(nn.Module):
    """Two places for one layer, or for a layer each."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.start = nn.Linear(4, 8)
        self.one = nn.Linear(8, 8)
        self.two = self.one if tied else nn.Linear(8, 8)
        self.end = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.start(x))
        x = torch.relu(self.one(x))
        x = torch.relu(self.two(x))
        return self.end(x)


PLACES = {
    "09_shared_layer": {"start": "0", "one": "shared", "two": "shared", "end": "6"},
    "09_shared_by_rule": {"start": "0", "one": "2", "two": "4", "end": "6"},
}
both = pytest.mark.parametrize("name", list(PLACES))


def by_hand(model: nn.Module, name: str, tied: bool = True) -> Shared:
    twin = Shared(tied).to(next(model.parameters()).dtype)
    for place, path in PLACES[name].items():
        twin.get_submodule(place).load_state_dict(model.get_submodule(path).state_dict())
    return twin


def drawn_model(name: str) -> nn.Module:
    model = built(name)
    redraw(model)
    return model


@both
def test_it_is_the_module_written_by_hand(name: str) -> None:
    model, x = drawn_model(name), drawn(5, 4)
    twin = by_hand(model, name)
    assert torch.equal(model(x), twin(x))
    model(x).sum().backward()
    twin(x).sum().backward()
    for place, path in PLACES[name].items():
        for title, parameter in twin.get_submodule(place).named_parameters():
            assert parameter.grad is not None
            assert torch.equal(model.get_submodule(path).get_parameter(title).grad, parameter.grad)


def test_the_rule_makes_the_sequence_that_one_writes_by_hand() -> None:
    shared = nn.Linear(8, 8)
    twin = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))
    model = built("09_shared_by_rule")
    assert list(model.state_dict()) == list(twin.state_dict())
    twin.load_state_dict(model.state_dict())
    assert_same(model, twin, drawn(5, 4))
    redraw(twin)
    model.load_state_dict(twin.state_dict())
    assert_same(model, twin, drawn(5, 4))


@both
def test_there_is_one_tensor(name: str) -> None:
    model = built(name)
    one, two = (model.get_submodule(PLACES[name][place]) for place in ("one", "two"))
    assert one is two
    assert one.weight is two.weight
    assert sum(each.numel() for each in model.parameters()) == (4 * 8 + 8) + (8 * 8 + 8) + (8 + 1)


@both
def test_it_changes_in_both_places_at_once(name: str) -> None:
    model, x = drawn_model(name), drawn(5, 4)
    untied = by_hand(model, name, tied=False)
    before = model(x)
    with torch.no_grad():
        model.get_submodule(PLACES[name]["one"]).weight[0, 0] = 100
        untied.one.weight[0, 0] = 100
    once = untied(x)
    with torch.no_grad():
        untied.two.weight[0, 0] = 100
    assert torch.equal(model(x), untied(x))
    assert not torch.equal(model(x), once)
    assert not torch.equal(model(x), before)


@both
def test_its_gradient_is_the_sum_over_both_uses(name: str) -> None:
    model, x = drawn_model(name).double(), drawn(5, 4).double()
    untied = by_hand(model, name, tied=False)
    model(x).sum().backward()
    untied(x).sum().backward()
    for title in ("weight", "bias"):
        first, second = untied.one.get_parameter(title).grad, untied.two.get_parameter(title).grad
        assert first is not None
        assert second is not None
        assert first.abs().max() > 0
        assert second.abs().max() > 0
        found = model.get_submodule(PLACES[name]["one"]).get_parameter(title).grad
        torch.testing.assert_close(found, first + second, rtol=1e-12, atol=1e-15)


@both
def test_it_stays_one_when_moved_copied_saved_and_trained(name: str, tmp_path: Path) -> None:
    model = drawn_model(name)
    runtime.save(model, tmp_path / "shared.safetensors")
    loaded = runtime.load(tmp_path / "shared.safetensors", device="cpu")
    for each in (copy.deepcopy(model), model.to(torch.float64), loaded):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        each(drawn(5, 4).to(next(each.parameters()).dtype)).sum().backward()
        optimizer.step()
        one, two = (each.get_submodule(PLACES[name][place]) for place in ("one", "two"))
        assert one.weight is two.weight
        assert len(list(each.parameters())) == 6


class Digits(nn.Module):
    """The model of `09_shared_trained.yaml`, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("1", nn.Linear(64, 32))
        self.shared = nn.Linear(32, 32)
        self.add_module("7", nn.Linear(32, 10))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.get_submodule("1")(image.flatten(1)))
        x = torch.relu(self.shared(x))
        x = torch.relu(self.shared(x))
        return self.get_submodule("7")(x)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three steps, each on all images at once, so that a twin can do the same."""
    folder = tmp_path_factory.mktemp("training")
    text = (COURSE / "09_shared_trained.yaml").read_text()
    for old, new in (("../data/", ""), (", test: 0.2", ""), ("batch: 64", "batch: 1797")):
        assert old in text
        text = text.replace(old, new)
    text = "".join(line for line in text.splitlines(keepends=True) if "metrics:" not in line)
    return train(
        compiler.compile_text(text), device="cpu", out=folder, epochs=3, progress=False, data_paths=[DATA]
    )


def test_a_trained_model_holds_the_layer_once(training: Trained) -> None:
    saved = runtime.load(training.path, device="cpu")
    assert isinstance(saved, nn.Sequential)
    assert [name for name, _ in saved.named_parameters() if name.startswith("shared")] == [
        "shared.weight",
        "shared.bias",
    ]
    assert torch.equal(saved.shared.weight, training.model.shared.weight)
    assert not torch.equal(saved.shared.weight, built("09_shared_trained").shared.weight)


def test_the_log_shows_values_and_gradients_of_each_layer(training: Trained) -> None:
    twin = Digits()
    twin.load_state_dict(built("09_shared_trained").state_dict())
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1e-2)
    with np.load(DATA / "digits.npz") as data:
        images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"])
    with training.log.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    assert len(rows) == training.steps == 3
    for row in rows:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(twin(images), labels)
        loss.backward()
        assert float(row["loss"]) == pytest.approx(loss.item(), rel=1e-4)
        for name, parameter in twin.named_parameters():
            assert parameter.grad is not None
            assert float(row[f"norm/{name}"]) == pytest.approx(parameter.norm().item(), rel=1e-4)
            assert float(row[f"grad_norm/{name}"]) == pytest.approx(parameter.grad.norm().item(), rel=1e-3)
        optimizer.step()
    norms = [row["norm/shared.weight"] for row in rows]
    assert len(set(norms)) == len(norms)
