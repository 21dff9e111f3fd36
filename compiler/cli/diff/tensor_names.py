"""What tensors are called together: `h.*.norm.weight`, or `h.[0-1].norm.weight` where others are called so too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from compiler.diff.covers import one_of

FEW = 2
"""Names that are shown of many."""
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")
_Places = tuple[int, ...]


class TensorNames:
    """The names of the tensors of a model, of which some are told."""

    def __init__(self, every: Iterable[str]) -> None:
        self._every = _alike(every)

    def words(self, names: Sequence[str]) -> str:
        """Return how many tensors there are, and what they are called."""
        if len(names) == 1:
            return names[0]
        alike = [each for star, places in _alike(names).items() for each in self._patterns(star, places)]
        more = f" and {len(alike) - FEW} more" if len(alike) > FEW else ""
        return f"{len(names):,} tensors: {', '.join(alike[:FEW])}{more}"

    def _patterns(self, star: str, places: dict[_Places, None]) -> list[str]:
        """Return patterns of the tensors that differ in numbers, and of no others: one, or one for each."""
        every = self._every.get(star, {}) | places
        if len(every) == len(places):
            return [star]
        columns = zip(zip(*places, strict=True), zip(*every, strict=True), strict=True)
        seen = [({*ours}, {*all_}) for ours, all_ in columns]
        named = [each for each in every if all(n in ours for n, (ours, _) in zip(each, seen, strict=True))]
        if len(named) > len(places):
            return [_with(star, map(str, each)) for each in places]
        return [_with(star, ("*" if ours == all_ else _range(ours) for ours, all_ in seen))]


def _alike(names: Iterable[str]) -> dict[str, dict[_Places, None]]:
    """Return names with `*` for their numbers, each with the numbers that stand there."""
    found: dict[str, dict[_Places, None]] = {}
    for name in names:
        found.setdefault(_NUMBER.sub("*", name), {})[tuple(map(int, _NUMBER.findall(name)))] = None
    return found


def _range(numbers: Iterable[int]) -> str:
    texts = [str(each) for each in sorted(numbers)]
    return texts[0] if len(texts) == 1 else one_of(texts)


def _with(star: str, parts: Iterable[str]) -> str:
    given = iter(parts)
    return re.sub(r"\*", lambda _: next(given), star)
