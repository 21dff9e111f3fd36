"""Two rows of things aligned: which of one is which of the other, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Places = list[tuple[int, int]]

MOST = 100_000
"""Pairs that are looked at. Longer rows are aligned by position."""
NEAR = 1e-3
"""What a place that agrees is worth, where nothing else tells two things apart."""


def align(
    before: Sequence[Item],
    after: Sequence[Item],
    same: Callable[[Item, Item], bool],
    likeness: Callable[[Item, Item], float],
) -> Places:
    """Return the places of things that belong together, in order, with the largest likeness in all.

    A `likeness` of zero is none. What is the `same` at both ends is taken first.
    """
    start = _common(before, after, same)
    rest_before, rest_after = before[start:], after[start:]
    end = _common(rest_before[::-1], rest_after[::-1], same)
    inner_before = rest_before[: len(rest_before) - end]
    inner_after = rest_after[: len(rest_after) - end]
    inner = _inner(inner_before, inner_after, likeness)
    ends = ((len(before) - at, len(after) - at) for at in range(end, 0, -1))
    return [
        *((at, at) for at in range(start)),
        *((start + one, start + other) for one, other in inner),
        *ends,
    ]


def _common(before: Sequence[Item], after: Sequence[Item], same: Callable[[Item, Item], bool]) -> int:
    """Return how many things the rows begin with that are the same."""
    pairs = zip(before, after, strict=False)
    return next((at for at, pair in enumerate(pairs) if not same(*pair)), min(len(before), len(after)))


def _inner(before: Sequence[Item], after: Sequence[Item], likeness: Callable[[Item, Item], float]) -> Places:
    if not before or not after:
        return []
    if len(before) * len(after) > MOST:
        pairs = zip(before, after, strict=False)
        return [(at, at) for at, pair in enumerate(pairs) if likeness(*pair)]
    return list(_traced(before, after, likeness))[::-1]


def _traced(
    before: Sequence[Item], after: Sequence[Item], likeness: Callable[[Item, Item], float]
) -> Iterator[tuple[int, int]]:
    """Yield the pairs of the best alignment, the last one first."""
    scores = [
        [_near(likeness(one, other), at, place) for place, other in enumerate(after)]
        for at, one in enumerate(before)
    ]
    best = [[0.0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for at in range(1, len(before) + 1):
        row, above = best[at], best[at - 1]
        for place in range(1, len(after) + 1):
            score = scores[at - 1][place - 1]
            both = above[place - 1] + score if score else 0.0
            row[place] = max(both, above[place], row[place - 1])
    at, place = len(before), len(after)
    while at and place:
        score = scores[at - 1][place - 1]
        if score and best[at][place] == best[at - 1][place - 1] + score:
            at, place = at - 1, place - 1
            yield at, place
        elif best[at][place] == best[at - 1][place]:
            at -= 1
        else:
            place -= 1


def _near(score: float, at: int, place: int) -> float:
    return score + NEAR / (1 + abs(at - place)) if score else 0.0
