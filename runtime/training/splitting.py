"""Which rows are trained on, which validate and which test: a random choice that is the same for every seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

SPLIT_SEED = 0
"""The split is the same for every training seed, or their results could not be compared."""


def by_share(count: int, shares: tuple[float, ...]) -> list[Tensor]:
    """Return the places of the rows that each share holds back, and behind them of those that are left."""
    return _places(_cut(_order().permutation(count), shares))


def stratified(values: np.ndarray[Any, Any], shares: tuple[float, ...]) -> list[Tensor]:
    """Return places as `by_share` does; each share has its part of the rows of each value."""
    draws = _order()
    kinds = np.unique(values, return_inverse=True)[1]
    parts = [
        _cut(draws.permutation(np.flatnonzero(kinds == kind)), shares) for kind in range(kinds.max() + 1)
    ]
    return _places([np.concatenate(of_share) for of_share in zip(*parts, strict=True)])


def grouped(values: np.ndarray[Any, Any], shares: tuple[float, ...]) -> list[Tensor]:
    """Return places as `by_share` does; rows of one value are in one split, so that a share is met about."""
    _, kinds, sizes = np.unique(values, return_inverse=True, return_counts=True)
    split_of = np.full(len(sizes), len(shares))
    wanted = [round(len(values) * share) for share in shares]
    at, held = 0, 0
    for kind in _order().permutation(len(sizes)):
        if at == len(wanted):
            break
        # A group that would overshoot by more than half of itself stays with what is left, unless a share is empty.
        if held and held + sizes[kind] / 2 > wanted[at]:
            at, held = at + 1, 0
            if at == len(wanted):
                break
        split_of[kind] = at
        held += int(sizes[kind])
        if held >= wanted[at]:
            at, held = at + 1, 0
    return _places([np.flatnonzero(split_of[kinds] == number) for number in range(len(shares) + 1)])


def _order() -> np.random.RandomState:
    # RandomState, because NumPy promises that its numbers never change.
    return np.random.RandomState(SPLIT_SEED)


def _cut(order: np.ndarray[Any, Any], shares: tuple[float, ...]) -> list[np.ndarray[Any, Any]]:
    ends = np.cumsum([round(len(order) * share) for share in shares])
    return np.split(order, ends)


def _places(parts: list[np.ndarray[Any, Any]]) -> list[Tensor]:
    return [torch.from_numpy(np.sort(part)) for part in parts]
