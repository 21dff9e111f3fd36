"""What a person may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64
"""Longer words are no typing errors, and would take long to compare."""
_PREFIX_COST = 1.5
"""A name that goes on where the word ends is likelier than two typing errors, and less than one."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is closest to `word`, or None if none is close.

    Spelling that differs only in case or underscores is closest, then slips of the fingers (a letter too
    many, too few, wrong, or two swapped), and a word that is the beginning of a longer name.
    """
    if not 0 < len(word) <= _LONGEST:
        return None
    folded = _fold(word)
    best: tuple[float, int, str] | None = None
    for candidate in candidates:
        if candidate == word or len(candidate) > _LONGEST:
            continue
        bound = best[0] if best else max(_allowed(word), _PREFIX_COST)
        cost = _cost(word, folded, candidate, bound)
        if cost is None:
            continue
        scored = (cost, abs(len(candidate) - len(word)), candidate)
        best = scored if best is None else min(best, scored)
    return best[2] if best else None


def _fold(word: str) -> str:
    return word.casefold().replace("_", "").replace("-", "")


def _allowed(word: str) -> int:
    """How many slips a word of this length may hold."""
    return min(len(word) // 2, 1 + len(word) // 5)


def _cost(word: str, folded: str, candidate: str, bound: float) -> float | None:
    """Return how far a candidate is, or None if that is too far or more than `bound`."""
    other = _fold(candidate)
    if other and other == folded:
        return 0.25
    slips = _distance(word.casefold(), candidate.casefold(), int(min(bound, _allowed(word))))
    begins = len(word) >= 3 and other.startswith(folded) and bool(folded)
    costs = [*([float(slips)] if slips is not None else []), *([_PREFIX_COST] if begins else [])]
    cost = min(costs, default=None)
    # Of equally close candidates, one in the same case is meant.
    return None if cost is None else cost + (0.1 if candidate[:1].isupper() != word[:1].isupper() else 0)


def _distance(a: str, b: str, allowed: int) -> int | None:
    """Count insertions, deletions, substitutions and swaps of neighbours; None if more than allowed."""
    if abs(len(a) - len(b)) > allowed or len(set(a) ^ set(b)) > 2 * allowed:
        return None
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i in range(1, len(a) + 1):
        before, row = row, _next_row(before, row, a, b, i)
        if min(row) > allowed:
            return None
    return row[-1] if row[-1] <= allowed else None


def _next_row(before: list[int], last: list[int], a: str, b: str, i: int) -> list[int]:
    row = [i]
    for j in range(1, len(b) + 1):
        cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]))
        if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
            cost = min(cost, before[j - 2] + 1)
        row.append(cost)
    return row
