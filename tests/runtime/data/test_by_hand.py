"""Trainings from files, held against loops that read and change the same files by hand, step for step."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import compiler
import runtime
from runtime.random import Draws
from runtime.train import train
from runtime.training.outcome import Trained

pytestmark = pytest.mark.usefixtures("one_thread")

TABLE = """
spec: 1
inputs: {size: "float32[batch, 2]", age: "float32[batch, 1]"}
model:
  layers: {first: Linear(8), second: Linear(8), last: Linear(1)}
  forward: |
    return last(relu(first(size) + second(age)))
train:
  data: {file: houses.csv, size: [rooms, area], age: [age], price: [price], test: 0.25, workers: 1}
  loss: mse_loss(output, price)
  optimizer: SGD(lr=0.01)
  batch: 8
  epochs: 3
"""
PHOTOS = """
spec: 1
inputs: {image: "float32[batch, 3, 6, 6]"}
model: [Flatten, Linear(2)]
train:
  data:
    folder: photos
    image: image
    label: label
    workers: 2
    transform: |
      image = image / 255
      if training:
        top, left = randint(0, 3, [2])
        image = image[:, top + arange(6)][:, :, left + arange(6)]
        if rand([]) < 0.5:
          image = image.flip(2)
      else:
        image = image[:, 1:7, 1:7]
      return {'image': image}
  loss: cross_entropy(output, label)
  optimizer: SGD(lr=0.1)
  batch: 5
  epochs: 3
"""


def losses(trained: Trained) -> list[float]:
    with trained.log.open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


def by_hand(
    model: torch.nn.Module, count: int, batch: int, rate: float, loss: Callable[[Tensor, int], Tensor]
) -> list[float]:
    """Train for three epochs over so many items; return the loss of each step."""
    optimizer, found = torch.optim.SGD(model.parameters(), lr=rate), []
    for epoch in range(3):
        order = torch.randperm(count, generator=Draws(0, f"order of epoch {epoch}").generator())
        for chosen in order.split(batch):
            value = loss(chosen, epoch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            found.append(value.item())
    return found


def test_a_regression_from_a_table(tmp_path: Path) -> None:
    draws = np.random.RandomState(0)
    lines = [
        f"{draws.randint(1, 9)},{draws.rand():.4f},{draws.rand():.4f},{draws.rand():.4f}" for _ in range(40)
    ]
    (tmp_path / "houses.csv").write_text("\n".join(["rooms,area,age,price", *lines]))
    (tmp_path / "spec.yaml").write_text(TABLE)
    artifact = compiler.compile(tmp_path / "spec.yaml")
    trained = train(artifact, out=tmp_path / "out", progress=False)

    values = torch.tensor([[float(cell) for cell in line.split(",")] for line in lines])
    kept = values[np.sort(np.random.RandomState(0).permutation(40)[10:])]
    model = runtime.build(artifact, seed=0)
    found = by_hand(
        model, 30, 8, 0.01, lambda rows, _: F.mse_loss(model(kept[rows, :2], kept[rows, 2:3]), kept[rows, 3:])
    )
    assert losses(trained) == pytest.approx(found, abs=1e-5)


def test_a_folder_of_images_that_are_changed(tmp_path: Path) -> None:
    draws, paths = np.random.RandomState(0), []
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            paths.append(tmp_path / "photos" / name / f"{number}.png")
            Image.fromarray(draws.randint(0, 255, (8, 8, 3), dtype=np.uint8)).save(paths[-1])
    (tmp_path / "spec.yaml").write_text(PHOTOS)
    artifact = compiler.compile(tmp_path / "spec.yaml")
    trained = train(artifact, out=tmp_path / "out", progress=False)

    def image(item: int, epoch: int) -> Tensor:
        pixels = torch.from_numpy(np.array(Image.open(paths[item]))).permute(2, 0, 1) / 255
        digest = hashlib.blake2b(f"transform:0:{epoch}:{item}:0".encode(), digest_size=8).digest()
        torch.manual_seed(int.from_bytes(digest, "big") >> 1)
        top, left = torch.randint(0, 3, [2])
        pixels = pixels[:, top : top + 6, left : left + 6]
        return pixels.flip(2) if torch.rand([]) < 0.5 else pixels

    model = runtime.build(artifact, seed=0)

    def loss(items: Tensor, epoch: int) -> Tensor:
        batch = torch.stack([image(int(item), epoch) for item in items])
        return F.cross_entropy(model(batch), (items >= 6).long())

    assert losses(trained) == pytest.approx(by_hand(model, 12, 5, 0.1, loss), abs=1e-5)
