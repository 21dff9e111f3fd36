"""Validation, early stopping, accumulation, averages, clipping and warm-up, held against loops written by hand."""

import csv
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import compiler
import runtime
from runtime.train import train
from runtime.training.checkpoints import read_checkpoint
from runtime.training.data import Splits, open_data
from runtime.training.items import noise_seed, training_batches
from runtime.training.outcome import Trained
from spec_schema.folders import Folders
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = (
    TINY
    + """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.2, validation: 0.2}
  loss: cross_entropy(output, label)
  optimizer: SGD(lr=0.1, momentum=0.9)
  batch: 8
  epochs: 4
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3)"}
"""
)
STOP = "  monitor: validation_accuracy\n  early_stopping: {patience: 2}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_points(tmp_path, 60)
    return tmp_path


def compiled(folder: Path, more: str = "", spec: str = SPEC) -> compiler.Artifact:
    (folder / "spec.yaml").write_text(spec + more)
    return compiler.compile(folder / "spec.yaml")


def trained(folder: Path, artifact: compiler.Artifact, **options: object) -> Trained:
    return train(artifact, **{"out": folder / "out", "progress": False, **options})  # type: ignore[arg-type]


def rows_of(result: Trained) -> list[dict[str, float]]:
    with result.log.open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def column(result: Trained, name: str) -> list[float]:
    return [row[name] for row in rows_of(result) if name in row]


def splits_of(folder: Path, artifact: compiler.Artifact) -> Splits:
    assert artifact.training is not None
    return open_data(artifact, artifact.training, Folders(folder))


Rates = Callable[[int], float]
Clip = Callable[[nn.Module], object]


def by_hand(
    folder: Path,
    artifact: compiler.Artifact,
    *,
    accumulate: int = 1,
    rate: Rates = lambda step: 0.1,
    clip: Clip = lambda model: None,
    after_step: Clip = lambda model: None,
    after_epoch: Clip = lambda model: None,
) -> tuple[nn.Module, list[float]]:
    """Train for four epochs, and return the model with the loss of each step."""
    model = runtime.build(artifact, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    items, losses = splits_of(folder, artifact).train, []
    for epoch in range(4):
        torch.manual_seed(noise_seed(0, epoch))
        batches = list(training_batches(items, 8, 0, lambda e=epoch: e))
        for at in range(0, len(batches), accumulate):
            optimizer.zero_grad()
            parts = []
            for batch in batches[at : at + accumulate]:
                loss = F.cross_entropy(model(batch["x"]), batch["label"])
                (loss / accumulate).backward()
                parts.append(loss.item())
            optimizer.param_groups[0]["lr"] = rate(len(losses))
            losses.append(sum(parts) / len(parts))
            clip(model)
            optimizer.step()
            after_step(model)
        after_epoch(model)
    return model, losses


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for name, tensor in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], tensor, rtol=0, atol=1e-5)


def accuracy(model: nn.Module, folder: Path, artifact: compiler.Artifact, split: str) -> float:
    items = getattr(splits_of(folder, artifact), split)
    batch = items[items.in_order()]
    with torch.no_grad():
        found = float((model.eval()(batch["x"]).argmax(1) == batch["label"]).float().mean())
    model.train()
    return found


# Accumulation, clipping, warm-up.


def test_a_step_may_be_made_from_several_batches(folder: Path) -> None:
    artifact = compiled(folder, "  accumulate: 2\n  schedule: StepLR(step_size=1, gamma=0.5)\n")
    result = trained(folder, artifact)
    model, losses = by_hand(
        folder, artifact, accumulate=2, rate=lambda step: 0.1 * 0.5 ** (step // 3)
    )  # 36 items: five batches, three steps
    assert column(result, "loss") == pytest.approx(losses, abs=1e-5)
    assert result.steps == len(losses) == 12
    assert_same(model, result.model)


def test_steps_are_those_of_the_optimizer(folder: Path) -> None:
    spec = SPEC.replace("epochs: 4", "steps: 7\n  accumulate: 2\n  schedule: OneCycleLR(max_lr=0.1)")
    result = trained(folder, compiled(folder, spec=spec))
    rates = column(result, "lr")
    assert result.steps == len(rates) == 7
    optimizer = torch.optim.SGD([torch.ones(1)], lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=7)
    for rate in rates:
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if schedule.last_epoch < 6 else None


def test_a_gradient_is_clipped_by_value(folder: Path) -> None:
    artifact = compiled(folder, "  clip: {value: 0.01}\n")
    model, losses = by_hand(
        folder, artifact, clip=lambda model: nn.utils.clip_grad_value_(model.parameters(), 0.01)
    )
    result = trained(folder, artifact)
    assert column(result, "loss") == pytest.approx(losses, abs=1e-5)
    assert_same(model, result.model)


@pytest.mark.parametrize("schedule", ["", "  schedule: CosineAnnealingLR\n"])
def test_the_rate_rises_step_by_step(folder: Path, schedule: str) -> None:
    artifact = compiled(folder, f"  warmup: 4\n{schedule}")

    def rate(step: int) -> float:
        if step < 4:
            return 0.1 * (step + 1) / 5
        return 0.1 * (1 + np.cos(np.pi * (step - 4) / 16)) / 2 if schedule else 0.1

    result = trained(folder, artifact)
    assert column(result, "lr") == pytest.approx([rate(step) for step in range(20)])
    model, losses = by_hand(folder, artifact, rate=rate)
    assert column(result, "loss") == pytest.approx(losses, abs=1e-5)
    assert_same(model, result.model)


# The average of the parameters.


def test_the_average_is_evaluated_and_saved(folder: Path) -> None:
    artifact = compiled(folder, "  ema: 0.8\n")
    averages: list[nn.Module] = []
    accuracies: list[float] = []

    def average(model: nn.Module) -> None:
        if not averages:
            averages.append(deepcopy(model))
            return
        for kept, new in zip(averages[0].state_dict().values(), model.state_dict().values(), strict=True):
            kept.copy_(0.8 * kept + 0.2 * new if kept.is_floating_point() else new)

    def evaluate(model: nn.Module) -> None:
        accuracies.append(accuracy(averages[0], folder, artifact, "validation"))

    _, losses = by_hand(folder, artifact, after_step=average, after_epoch=evaluate)
    result = trained(folder, artifact)
    assert column(result, "loss") == pytest.approx(losses, abs=1e-5)
    assert column(result, "validation_accuracy") == pytest.approx(accuracies)
    for name, parameter in averages[0].named_parameters():
        torch.testing.assert_close(result.model.get_parameter(name), parameter, rtol=0, atol=1e-5)
    assert result.metrics["accuracy"] == pytest.approx(accuracy(averages[0], folder, artifact, "test"))
    loaded = runtime.load(result.path).state_dict()
    assert all(torch.equal(loaded[name], each) for name, each in result.model.state_dict().items())


# Validation.


def test_the_best_epoch_is_what_is_saved(folder: Path) -> None:
    artifact = compiled(folder, STOP.replace("patience: 2", "patience: 9"))
    states: list[dict[str, torch.Tensor]] = []
    scores: list[float] = []

    def note(model: nn.Module) -> None:
        scores.append(accuracy(model, folder, artifact, "validation"))
        states.append(deepcopy(model.state_dict()))

    by_hand(folder, artifact, after_epoch=note)
    result = trained(folder, artifact)
    assert column(result, "validation_accuracy") == pytest.approx(scores)
    best = scores.index(max(scores))
    for name, tensor in states[best].items():
        torch.testing.assert_close(result.model.state_dict()[name], tensor, rtol=0, atol=1e-5)
    assert result.metrics["validation_accuracy"] == pytest.approx(max(scores))
    assert result.best_epoch == best + 1
    assert read_checkpoint(folder / "out" / "tiny" / "best.safetensors")["epoch"] == best
    assert read_checkpoint(result.checkpoint)["epoch"] == 3


def test_a_training_ends_when_nothing_gets_better(folder: Path) -> None:
    artifact = compiled(folder, STOP.replace("accuracy", "loss"), SPEC.replace("lr=0.1", "lr=30.0"))
    result = trained(folder, artifact, epochs=30)
    losses = column(result, "validation_loss")
    best = losses.index(min(losses))
    assert result.epochs == len(losses) == best + 3 < 30
    again = trained(folder, artifact, epochs=30, resume=result.checkpoint)
    assert again.path.read_bytes() == result.path.read_bytes()
    assert again.epochs == result.epochs


def test_all_of_it_resumes_to_the_byte(folder: Path) -> None:
    more = STOP.replace("2", "5") + "  ema: 0.9\n  accumulate: 2\n  warmup: 3\n  clip: {value: 0.1}\n"
    artifact = compiled(folder, more)
    straight = trained(folder, artifact, out=folder / "straight", epochs=6)
    for place in ("out", "elsewhere"):
        half = trained(folder, artifact, epochs=3)
        whole = trained(folder, artifact, out=folder / place, resume=half.checkpoint, epochs=6)
        assert whole.path.read_bytes() == straight.path.read_bytes()
        assert whole.metrics == straight.metrics
    assert rows_of(trained(folder, artifact, resume=half.checkpoint, epochs=6)) == rows_of(straight)


def test_the_log_has_a_row_for_each_step_and_one_for_each_epoch(folder: Path) -> None:
    rows = rows_of(trained(folder, compiled(folder), epochs=2))
    assert [("loss" in row, row["epoch"]) for row in rows] == [
        *[(True, 1)] * 5,
        (False, 1),
        *[(True, 2)] * 5,
        (False, 2),
    ]
    assert {"train_loss", "validation_loss", "validation_accuracy"} <= rows[5].keys()
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 9]
