"""What batches are taken from: each source gives a batch for a list of indices, and an order for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from runtime.random import Draws

Batch: TypeAlias = Mapping[str, Tensor]


class Items(Protocol):
    """A split of the data."""

    def __len__(self) -> int:
        """Return how many items an epoch has."""

    def __getitem__(self, indices: Tensor) -> Batch:
        """Return the items at the given places as one batch."""

    def in_order(self) -> Tensor:
        """Return the indices of all items."""

    def shuffled(self, generator: torch.Generator) -> Tensor:
        """Return the indices of one epoch's items in a random order."""


class _Numbered:
    """Items that are numbered from 0."""

    def __init__(self, chosen: Tensor) -> None:
        self.chosen = chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def in_order(self) -> Tensor:
        return torch.arange(len(self))

    def shuffled(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self), generator=generator)


class Rows(_Numbered, Dataset[Batch]):
    """Rows of arrays of equal length; `chosen` are those of this split."""

    def __init__(self, arrays: Mapping[str, Tensor], chosen: Tensor) -> None:
        super().__init__(chosen)
        self.arrays = arrays

    def __getitem__(self, indices: Tensor) -> Batch:
        rows = self.chosen[indices]
        return {name: array[rows] for name, array in self.arrays.items()}


class Samples(_Numbered, Dataset[Batch]):
    """Samples of a plugin's data set, each a mapping; `arrays` names their entries by the field of the batch."""

    def __init__(self, dataset: Any, arrays: Mapping[str, str], chosen: Tensor) -> None:
        super().__init__(chosen)
        self.dataset, self.arrays = dataset, arrays

    def __getitem__(self, indices: Tensor) -> Batch:
        samples = [self.dataset[int(index)] for index in self.chosen[indices]]
        return {
            name: default_collate([sample[array] for sample in samples])
            for name, array in self.arrays.items()
        }


class Windows(Dataset[Batch]):
    """Windows of a text. `shifts` are the fields of the batch, with how far each is ahead of its window.

    An epoch passes over the text once, in windows that start anew at a random place, so that no character is
    always the first of its window.
    """

    def __init__(self, numbers: Tensor, context: int, shifts: Mapping[str, int]) -> None:
        self.numbers, self.context, self.shifts = numbers, context, shifts

    def __len__(self) -> int:
        return max(len(self.numbers) - self.context, 0) // self.context

    def __getitem__(self, starts: Tensor) -> Batch:
        places = starts[:, None] + torch.arange(self.context)
        return {name: self.numbers[places + shift] for name, shift in self.shifts.items()}

    def in_order(self) -> Tensor:
        return torch.arange(len(self)) * self.context

    def shuffled(self, generator: torch.Generator) -> Tensor:
        offset = torch.randint(self.context, (), generator=generator)
        return torch.randperm(len(self), generator=generator) * self.context + offset


class EpochOrder(Sampler[Tensor]):
    """The batches of an epoch, in an order that the seed and the number of the epoch alone decide."""

    def __init__(self, items: Items, batch: int, seed: int, epoch: Callable[[], int]) -> None:
        self.items, self.batch, self.seed, self.epoch = items, batch, seed, epoch

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        generator = Draws(self.seed, f"order of epoch {self.epoch()}").generator()
        return iter(_cut(self.items.shuffled(generator), self.batch))


def training_batches(items: Items, batch: int, seed: int, epoch: Callable[[], int]) -> DataLoader[Batch]:
    """Return the batches of the current epoch."""
    return _loader(items, EpochOrder(items, batch, seed, epoch))


def test_batches(items: Items, batch: int) -> DataLoader[Batch]:
    """Return the batches of the test split, always in the same order."""
    return _loader(items, _cut(items.in_order(), batch))


def _cut(order: Tensor, batch: int) -> list[Tensor]:
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def _loader(items: Any, order: Any) -> DataLoader[Batch]:
    """Return a loader that takes each item of the order as the indices of a batch.

    A loader draws a number each time that it is iterated. Its own generator keeps that from the layers' numbers,
    which would else differ when a training is resumed.
    """
    return DataLoader(items, batch_size=None, sampler=order, generator=torch.Generator())


def noise_seed(seed: int, epoch: int) -> int:
    """Return the seed of what layers draw in an epoch, such as dropout."""
    generator = Draws(seed, f"noise of epoch {epoch}").generator()
    return int(torch.randint(2**62, (), generator=generator))
