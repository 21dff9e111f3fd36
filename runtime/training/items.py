"""What batches are taken from: each source gives a batch for a list of indices, and an order for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from compiler.training.source import FieldSource, Loading
from runtime.random import Draws
from runtime.training.parts import Part, Parts
from spec_schema.diagnostics import Diagnostic, SpecError, refuse

Batch: TypeAlias = Mapping[str, Tensor]
Order: TypeAlias = Callable[[torch.Generator, Tensor], Tensor]


class Items(Protocol):
    """A split of the data."""

    def __len__(self) -> int:
        """Return how many items an epoch has."""

    def __getitem__(self, indices: Tensor) -> Batch:
        """Return the items at the given places as one batch."""

    def samples(self, indices: Tensor) -> list[Batch]:
        """Return the items at the given places one by one."""

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
        rows = self.chosen.index_select(0, indices)  # a third of the time of `chosen[indices]`
        return {name: array.index_select(0, rows) for name, array in self.arrays.items()}

    def samples(self, indices: Tensor) -> list[Batch]:
        return taken_apart(self[indices])


class TableRows(_Numbered, Dataset[Batch]):
    """Rows of a table that is read by rows: `read` gives a batch of some, `order` places of the split to draw next."""

    def __init__(
        self,
        read: Callable[[Tensor], Batch],
        order: Order,
        chosen: Tensor,
    ) -> None:
        super().__init__(chosen)
        self.read, self.order = read, order

    def __getitem__(self, indices: Tensor) -> Batch:
        return self.read(self.chosen[indices])

    def samples(self, indices: Tensor) -> list[Batch]:
        return taken_apart(self[indices])

    def shuffled(self, generator: torch.Generator) -> Tensor:
        return self.order(generator, self.chosen)


class Samples(_Numbered, Dataset[Batch]):
    """Samples of a map-style data set: `read` gives the fields of one, `order` places of the split to draw next."""

    def __init__(
        self,
        read: Callable[[int], Batch],
        fields: Mapping[str, FieldSource],
        chosen: Tensor,
        order: Order | None = None,
    ) -> None:
        super().__init__(chosen)
        self.read, self.fields, self.order = read, fields, order

    def __getitem__(self, indices: Tensor) -> Batch:
        return collated(self.samples(indices), self.fields)

    def samples(self, indices: Tensor) -> list[Batch]:
        return [self.read(int(index)) for index in self.chosen[indices]]

    def shuffled(self, generator: torch.Generator) -> Tensor:
        return self.order(generator, self.chosen) if self.order else super().shuffled(generator)


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

    def samples(self, starts: Tensor) -> list[Batch]:
        return taken_apart(self[starts])

    def in_order(self) -> Tensor:
        return torch.arange(len(self)) * self.context

    def shuffled(self, generator: torch.Generator) -> Tensor:
        offset = torch.randint(self.context, (), generator=generator)
        return torch.randperm(len(self), generator=generator) * self.context + offset


def taken_apart(batch: Batch) -> list[Batch]:
    """Return the items of a batch."""
    rows = zip(*(tensor.unbind() for tensor in batch.values()), strict=True)
    return [dict(zip(batch, row, strict=True)) for row in rows]


def collated(samples: list[Batch], fields: Mapping[str, FieldSource]) -> Batch:
    """Return a batch of items.

    Raises:
        SpecError: a field has not the same shape and dtype in all of them.
    """
    return {name: _stacked([sample[name] for sample in samples], field) for name, field in fields.items()}


def _stacked(values: list[Any], field: FieldSource) -> Tensor:
    try:
        stacked = default_collate(values)
    except (RuntimeError, TypeError) as error:
        raise _ragged(values, field, error) from None
    if not isinstance(stacked, Tensor):
        kind = type(values[0]).__name__
        raise refuse("data-broken", f"`{field.array}` is a {kind}, which no tensor holds", field.span)
    return stacked


def _ragged(values: list[Any], field: FieldSource, error: Exception) -> SpecError:
    shapes = list(dict.fromkeys(str(list(v.shape)) for v in values if hasattr(v, "shape")))
    if len(shapes) < 2:
        why = " ".join(str(error).split())
        return refuse("data-broken", f"`{field.array}` of several items is no tensor: {why}", field.span)
    return refuse(
        "data-ragged",
        f"`{field.array}` has the shape {shapes[0]} in one item and {shapes[1]} in another",
        field.span,
        help="a `transform` makes them equal, such as `image[:, :32, :32]`",
    )


# The order of an epoch.


class _Ordered:
    """Items in another order than their own."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, indices: Tensor) -> Batch:
        return self.items[indices]

    def samples(self, indices: Tensor) -> list[Batch]:
        return self.items.samples(indices)

    def in_order(self) -> Tensor:
        return self.items.in_order()


class Unshuffled(_Ordered, Dataset[Batch]):
    """Items that stay in their order."""

    def shuffled(self, generator: torch.Generator) -> Tensor:
        return self.items.in_order()


class Weighted(_Ordered, Dataset[Batch]):
    """Items that are drawn anew each time, as often as their weights say; an epoch has as many as there are."""

    def __init__(self, items: Items, weights: Tensor) -> None:
        super().__init__(items)
        self.ends = weights.double().cumsum(0)

    def shuffled(self, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(len(self), dtype=torch.float64, generator=generator) * self.ends[-1]
        return torch.searchsorted(self.ends, drawn, right=True).clamp(max=len(self) - 1)


class Changing(Protocol):
    """Items that are others in each epoch."""

    def at(self, epoch: int, indices: Tensor, turns: Tensor) -> Batch:
        """Return a batch of an epoch. `turns` tell apart those that come several times."""


@dataclass(frozen=True)
class Drawn:
    """What a batch is made of, wherever that is done."""

    epoch: int
    indices: Tensor
    turns: Tensor


class EpochOrder(Sampler[Drawn]):
    """The batches of an epoch, in an order that the seed and the number of the epoch alone decide."""

    def __init__(self, items: Items, batch: int, seed: int, epoch: Callable[[], int]) -> None:
        self.items, self.batch, self.seed, self.epoch = items, batch, seed, epoch

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch)

    def __iter__(self) -> Iterator[Drawn]:
        epoch = self.epoch()
        generator = Draws(self.seed, f"order of epoch {epoch}").generator()
        order = self.items.shuffled(generator)
        return iter(_cut(order, self.batch, epoch, _turns(order)))


class ToldOrder(EpochOrder):
    """The batches of the epoch that the caller names, as torch's own distributed samplers have it."""

    def __init__(self, items: Items, batch: int, seed: int) -> None:
        super().__init__(items, batch, seed, lambda: self.told)
        self.told = 0

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch that is iterated next."""
        self.told = epoch


def training_batches(
    items: Items,
    batch: int,
    seed: int,
    epoch: Callable[[], int],
    loading: Loading = Loading(),  # noqa: B008 - a frozen value
    pinned: bool = False,
    part: Part | None = None,
) -> DataLoader[Batch]:
    """Return the batches of the current epoch, or a part of each."""
    return batches_in(items, EpochOrder(items, batch, seed, epoch), loading, pinned, part)


def test_batches(
    items: Items,
    batch: int,
    loading: Loading,
    pinned: bool,
    part: Part | None = None,  # noqa: PT028
) -> DataLoader[Batch]:
    """Return the batches of the test split, always in the same order, or a part of each."""
    order = items.in_order()
    return batches_in(items, _cut(order, batch, 0, torch.zeros_like(order)), loading, pinned, part)


def _cut(order: Tensor, batch: int, epoch: int, turns: Tensor) -> list[Drawn]:
    places = range(0, len(order), batch)
    return [Drawn(epoch, order[at : at + batch], turns[at : at + batch]) for at in places]


def _turns(order: Tensor) -> Tensor:
    """Return for each index how often it came before."""
    values, by_value = torch.sort(order, stable=True)
    place = torch.arange(len(order))
    first = torch.searchsorted(values, values)
    turns = torch.empty_like(place)
    turns[by_value] = place - first
    return turns


@dataclass(frozen=True)
class Failure:
    """What a worker hands over in place of a batch: an exception would lose its places on the way."""

    diagnostics: tuple[Diagnostic, ...]


class _Batches(Dataset[Any]):
    """Batches by what they are made of."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __getitem__(self, drawn: Drawn) -> Batch | Failure:
        try:
            if hasattr(self.items, "at"):
                return dict(self.items.at(drawn.epoch, drawn.indices, drawn.turns))
            return dict(self.items[drawn.indices])
        except SpecError as error:
            return Failure(error.diagnostics)


class BatchLoader(DataLoader[Any]):
    """A loader that raises what its workers met. Without workers it takes each batch as it is asked for."""

    def __iter__(self) -> Any:
        here = self.num_workers == 0 and not self.pin_memory
        for batch in map(self.dataset.__getitem__, self.sampler) if here else super().__iter__():
            if isinstance(batch, Failure):
                raise SpecError(batch.diagnostics)
            yield batch


def batches_in(
    items: Any, order: Any, loading: Loading, pinned: bool, part: Part | None = None
) -> DataLoader[Batch]:
    """Return a loader that takes each item of the order as a batch, or a part of it.

    A loader draws a number each time that it is iterated. Its own generator keeps that from the layers' numbers,
    which would else differ when a training is resumed.
    """
    return BatchLoader(
        _Batches(items),
        batch_size=None,
        sampler=order if part is None else Parts(order, part),
        collate_fn=_as_it_is,
        generator=torch.Generator(),
        num_workers=loading.workers,
        pin_memory=pinned,
    )


def _as_it_is(batch: Any) -> Any:
    """Return a batch that is whole: torch would copy the mapping."""
    return batch


def class_weights(values: np.ndarray[Any, Any]) -> Tensor:
    """Return weights with which each class is drawn equally often; values that are no whole numbers are weights."""
    if values.dtype.kind == "f":
        return torch.from_numpy(values.astype(np.float64))
    _, kinds, counts = np.unique(values, return_inverse=True, return_counts=True)
    return torch.from_numpy(1 / counts[kinds])


def noise_seed(seed: int, epoch: int, share: int = 0) -> int:
    """Return the seed of what layers draw in an epoch, such as dropout, for a share of the examples."""
    of_share = f", share {share}" if share else ""
    generator = Draws(seed, f"noise of epoch {epoch}{of_share}").generator()
    return int(torch.randint(2**62, (), generator=generator))


def seed_noise(seed: int, device: torch.device) -> None:
    """Let layers on a device draw by a seed.

    `torch.manual_seed` seeds accelerators too, and for one that is not in use it looks up the lines of all callers,
    in case that fails later: about a millisecond.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
