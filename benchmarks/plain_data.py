"""The data of the jobs of `specs/` as one loads them by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tests.jobs.plain import Batch, Data

DATA = Path(__file__).parents[1] / "specs/data"


def in_order(arrays: dict[str, Tensor], size: int, order: Tensor) -> Iterator[Batch]:
    """Give batches of rows."""
    for places in order.split(size):
        yield {name: array[places] for name, array in arrays.items()}


def held_back(arrays: dict[str, Tensor], size: int, first: int, last: int) -> list[Batch]:
    return list(in_order(arrays, size, torch.arange(first, last)))


def digits(size: int, train: int, validation: int) -> Data:
    """Take the first rows to train on, and the next to validate and to test."""
    with np.load(DATA / "digits.npz") as file:
        arrays = {"image": torch.from_numpy(file["images"]), "label": torch.from_numpy(file["labels"])}
    held = held_back(arrays, size, train, train + validation)
    return Data(lambda epoch: in_order(arrays, size, torch.randperm(train)), held, held)


def houses() -> Data:
    with (DATA / "houses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["district"] for row in rows})
    arrays = {
        "numbers": torch.tensor(
            [[float(row[name]) for name in ("area", "rooms", "age", "floor")] for row in rows]
        ),
        "district": torch.tensor([names.index(row["district"]) for row in rows]),
        "price": torch.tensor([float(row["price"]) for row in rows]),
    }
    return Data(lambda epoch: in_order(arrays, 64, torch.randperm(560)), held_back(arrays, 64, 560, 680))


def pumps() -> Data:
    with np.load(DATA / "pumps.npz") as file:
        arrays = {"signal": torch.from_numpy(file["signals"]), "state": torch.from_numpy(file["states"])}
    chances = 1 / arrays["state"][:720].bincount().float()[arrays["state"][:720]]
    return Data(
        lambda epoch: in_order(arrays, 48, torch.multinomial(chances, 720, replacement=True)),
        held_back(arrays, 48, 720, 960),
    )


def alice(context: int = 64, size: int = 16) -> tuple[Data, int]:
    """Return windows of the text, and how many batches an epoch has."""
    text = (DATA / "alice.txt").read_text()
    characters = sorted(set(text))
    numbers = torch.tensor([characters.index(each) for each in text])
    held = round(len(text) * 0.1)
    train, test = numbers[:-held], numbers[-held:]
    count = (len(train) - context) // context

    def windows(part: Tensor, starts: Tensor) -> Iterator[Batch]:
        for some in starts.split(size):
            places = some[:, None] + torch.arange(context)
            yield {"tokens": part[places], "target": part[places + 1]}

    def of_epoch(epoch: int) -> Iterator[Batch]:
        return windows(train, torch.randperm(count) * context + torch.randint(context, ()))

    tests = list(windows(test, torch.arange((len(test) - context) // context) * context))
    return Data(of_epoch, test=tests), -(-count // size)


class Shapes(Dataset[Batch]):
    """Some of the images of each folder."""

    def __init__(self, first: int, last: int, training: bool) -> None:
        folders = sorted(each for each in (DATA / "shapes").iterdir() if each.is_dir())
        self.files = [
            (path, label)
            for label, folder in enumerate(folders)
            for path in sorted(folder.iterdir())[first:last]
        ]
        self.training = training

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Batch:
        path, label = self.files[index]
        with Image.open(path) as file:
            pixels = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
        image = F.interpolate(pixels[None] / 255, size=[28, 28], mode="bilinear")[0]
        image = augmented(image) if self.training else image[:, 2:26, 2:26]
        return {"image": (image - 0.4) / 0.25, "label": torch.tensor(label)}


def augmented(image: Tensor) -> Tensor:
    top, left = torch.randint(0, 5, [2]).tolist()
    image = image[:, top : top + 24, left : left + 24]
    if torch.rand([]) < 0.5:
        image = image.flip(2)
    return image * (0.8 + 0.4 * torch.rand([]))


def shapes() -> Data:
    train = DataLoader(Shapes(0, 24, training=True), batch_size=24, shuffle=True)
    held = DataLoader(Shapes(24, 32, training=False), batch_size=24)
    return Data(lambda epoch: train, held)
