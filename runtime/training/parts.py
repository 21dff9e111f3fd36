"""Parts of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from torch.utils.data import Sampler

Part: TypeAlias = Callable[[Any], Any]
"""Gives what a rank has of a batch, both by what they are made of."""


class Parts(Sampler[Any]):
    """A part of each batch of an order."""

    def __init__(self, order: Any, part: Part) -> None:
        self.order, self.part = order, part

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        return map(self.part, self.order)
