"""How batches are drawn and loaded: by weights, in order, and by several processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import compiler
from runtime.train import train
from runtime.training.items import test_batches as evaluation_batches
from runtime.training.items import training_batches
from tests.runtime.data.sources import SPEC, compiled, opened, points, refused, write_all

DATA = "file: t.npz, x: points, y: kind"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_all(tmp_path)
    kind = np.array([0] * 10 + [1] * 2)
    np.savez(
        tmp_path / "t.npz",
        points=points(),
        kind=kind,
        often=np.array([0.0] * 11 + [2.0]),
        bad=-points()[:, 0],
    )
    return tmp_path


def batches(folder: Path, data: str, epoch: int = 0, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    artifact = compiled(data)
    assert artifact.training is not None
    train = opened(folder, data, seed=seed).train
    return list(training_batches(train, 5, seed, lambda: epoch, artifact.training.data.loading))


def drawn(folder: Path, data: str, epoch: int = 0, seed: int = 0) -> list[int]:
    return [int(row) // 3 for batch in batches(folder, data, epoch, seed) for row in batch["x"][:, 0]]


def test_an_epoch_without_shuffling_is_in_order(folder: Path) -> None:
    assert drawn(folder, f"{DATA}, shuffle: false") == list(range(12))
    assert drawn(folder, DATA) != list(range(12))


def test_classes_are_drawn_equally_often(folder: Path) -> None:
    rows = [row for epoch in range(100) for row in drawn(folder, f"{DATA}, weights: kind", epoch)]
    assert len(rows) == 1200
    assert sum(row >= 10 for row in rows) / 1200 == pytest.approx(0.5, abs=0.05)
    assert set(rows) == set(range(12))


def test_weights_that_are_numbers_say_how_often(folder: Path) -> None:
    assert drawn(folder, f"{DATA}, weights: often") == [11] * 12


def test_weights_are_those_of_the_items_that_are_trained_on(folder: Path) -> None:
    data = f"{DATA}, weights: kind, test: 0.5, stratify: kind"
    rows = [row for epoch in range(60) for row in drawn(folder, data, epoch)]
    assert sum(row >= 10 for row in rows) / len(rows) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("array", ["bad", "often"])
def test_weights_that_cannot_be(folder: Path, array: str) -> None:
    np.savez(
        folder / "t.npz", points=points(), kind=np.zeros(12, int), bad=-points()[:, 0], often=np.zeros(12)
    )
    assert refused(folder, f"{DATA}, weights: {array}").code == "bad-weights"


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        f"{DATA}, weights: kind",
        "file: t.parquet, x: points, y: kind",
        "folder: saved, x: points, y: kind",
    ],
)
def test_any_number_of_workers_loads_the_same(folder: Path, data: str) -> None:
    for epoch in range(2):
        first = batches(folder, data, epoch)
        for other in (1, 3):
            second = batches(folder, f"{data}, workers: {other}", epoch)
            for a, b in zip(first, second, strict=True):
                assert a.keys() == b.keys()
                assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_table_in_pieces_is_loaded_by_workers(folder: Path) -> None:
    data = "file: t.parquet, x: points, y: kind"
    artifact = compiled(data)
    assert artifact.training is not None
    train = opened(folder, data, limit=50).train
    loaded = [
        [
            batch["x"]
            for batch in training_batches(train, 5, 0, lambda: 0, compiled(more).training.data.loading)
        ]  # type: ignore[union-attr]
        for more in (data, f"{data}, workers: 2")
    ]
    assert all(torch.equal(a, b) for a, b in zip(*loaded, strict=True))


def test_held_back_items_are_loaded_in_order(folder: Path) -> None:
    artifact = compiled(f"{DATA}, workers: 2, test: 0.5")
    assert artifact.training is not None
    test = opened(folder, f"{DATA}, test: 0.5").test
    assert test is not None
    loaded = torch.cat(
        [batch["x"] for batch in evaluation_batches(test, 4, artifact.training.data.loading, False)]
    )
    assert torch.equal(loaded, test[test.in_order()]["x"])


def test_a_training_with_workers_ends_as_one_without(folder: Path) -> None:
    ends = []
    for more in ("workers: 0", "workers: 2"):
        (folder / "spec.yaml").write_text(SPEC.replace("DATA", f"{DATA}, weights: kind, {more}"))
        trained = train(compiler.compile(folder / "spec.yaml"), out=folder / more[-1], progress=False)
        ends.append(trained.model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
