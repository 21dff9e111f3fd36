"""Five real jobs, each held step for step against a loop written by hand in plain PyTorch."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import compiler
import runtime
from runtime.training.items import noise_seed
from tests.jobs import alice, fine_tuned, houses, llama, pumps, shapes
from tests.jobs.plain import Batch, Course, Data

pytestmark = pytest.mark.usefixtures("one_thread")

SPECS = Path(__file__).parents[2] / "specs"
SEED = 3
TINY_LLAMA = {"vocab": 70, "dim": 16, "depth": 2, "heads": 2, "hidden": 32}


def compiled(name: str) -> compiler.Artifact:
    return compiler.compile(SPECS / f"{name}.yaml", preset=None if name == "fine_tuned" else "tiny")


def batches(artifact: compiler.Artifact) -> Data:
    """Return the batches of a spec, with the seed that its layers draw from in each epoch."""
    found = runtime.loaders(artifact, seed=SEED)

    def of_epoch(epoch: int) -> Iterable[Batch]:
        found["train"].sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        torch.manual_seed(noise_seed(SEED, epoch))
        return found["train"]

    return Data(of_epoch, found.get("validation", ()), found.get("test", ()))


def with_first_values(hand: nn.Module, artifact: compiler.Artifact) -> Any:
    hand.load_state_dict(runtime.build(artifact, seed=SEED, device="cpu").state_dict())
    return hand


def rows_of(result: runtime.Trained) -> list[dict[str, float]]:
    with result.log.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def assert_same(result: runtime.Trained, course: Course) -> None:
    """Hold losses step for step, results epoch for epoch, and what is saved against the loop written by hand."""
    rows = rows_of(result)
    steps = [row["loss"] for row in rows if "loss" in row]
    assert steps == pytest.approx([float(loss) for loss in course.losses], abs=1e-5, rel=0)
    assert result.steps == len(course.losses)
    epochs = [row for row in rows if "loss" not in row]
    assert len(epochs) == len(course.epochs) == result.epochs
    for row, expected in zip(epochs, course.epochs, strict=True):
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-4, rel=1e-5)
    assert result.best_epoch == course.best
    assert course.model is not None
    values = course.model.state_dict()
    for name, value in runtime.load(result.path).state_dict().items():
        torch.testing.assert_close(value, values[name], rtol=0, atol=1e-5)


def run(artifact: compiler.Artifact, folder: Path, epochs: int | None = None) -> runtime.Trained:
    return runtime.train(artifact, seed=SEED, device="cpu", out=folder, epochs=epochs, progress=False)


def test_images_with_augmentation_end_early(tmp_path: Path) -> None:
    artifact = compiled("shapes")
    result = run(artifact, tmp_path)
    hand = with_first_values(shapes.Shapes(4), artifact)
    course = shapes.train(hand, batches(artifact), epochs=12, patience=2)
    assert_same(result, course)
    assert result.epochs < 12
    found = shapes.evaluate(hand, batches(artifact).test)
    assert [result.metrics["test_loss"], result.metrics["accuracy"]] == pytest.approx(
        list(found.values()), abs=1e-4
    )


def test_two_inputs_of_a_table(tmp_path: Path) -> None:
    artifact = compiled("houses")
    hand = with_first_values(houses.Houses(16, 2), artifact)
    assert_same(run(artifact, tmp_path), houses.train(hand, batches(artifact), epochs=6))


def test_fine_tuning_with_two_rates_and_an_average(tmp_path: Path) -> None:
    artifact = compiled("fine_tuned")
    hand = with_first_values(fine_tuned.FineTuned(16), artifact)
    assert_same(run(artifact, tmp_path, epochs=4), fine_tuned.train(hand, batches(artifact), epochs=4))


def test_a_language_model_with_groups_warm_up_and_accumulation(tmp_path: Path) -> None:
    artifact = compiled("alice")
    data = runtime.loaders(artifact)["train"]
    hand = with_first_values(llama.Llama(**TINY_LLAMA), artifact)
    course = alice.train(hand, batches(artifact), epochs=1, warmup=6, batches=len(data))
    assert_same(run(artifact, tmp_path), course)


def test_rare_classes_are_drawn_as_often(tmp_path: Path) -> None:
    artifact = compiled("pumps")
    hand = with_first_values(pumps.Pumps(4), artifact)
    assert_same(run(artifact, tmp_path), pumps.train(hand, batches(artifact), epochs=4))
