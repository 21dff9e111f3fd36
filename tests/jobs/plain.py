"""What the loops written by hand have in common: the batches that they are given, and what they note."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

Batch = Mapping[str, Tensor]
Keep = Callable[..., None]
"""Keeps what there is after an epoch, as `nowhere` does not."""


@dataclass(frozen=True)
class Data:
    """Batches of each split."""

    train: Callable[[int], Iterable[Batch]]
    """Those of an epoch, which is numbered from 0."""
    validation: Iterable[Batch] = ()
    test: Iterable[Batch] = ()


def nowhere(name: str, epoch: int, **parts: Any) -> None:
    """Keep no checkpoint of an epoch: what a loop is given that is not to write any. Each part has a `state_dict`."""


@dataclass
class Course:
    """What became of a training."""

    losses: list[Tensor] = field(default_factory=list)
    """That of each step."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """The results after each epoch."""
    best: int | None = None
    """The epoch whose values are in `model`, from 1, where one is chosen."""
    model: nn.Module | None = None
    """What is saved."""
