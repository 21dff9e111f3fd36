"""Selectors that name some tensors of a model and no others: whole modules where that is so, and many at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from spec_schema.renaming import parse_pattern

Parts = tuple[str, ...]
_NUMBER = re.compile(r"\d+$")


def cover(wanted: Collection[str], every: Sequence[str]) -> list[str]:
    """Return selectors, from the root, of the tensors that are wanted among all, in the order of the model."""
    names = [tuple(name.split(".")) for name in every]
    found = list(_cover((), names, {tuple(name.split(".")) for name in wanted}))
    if found == [()]:
        return ["/"]
    others = [name for name in every if name not in set(wanted)]
    wide = dict.fromkeys(_widened(path, others) for path in found)
    return [f"/{'.'.join(parts)}" for parts in _joined(list(wide))]


def _cover(at: Parts, names: Sequence[Parts], wanted: Collection[Parts]) -> Iterator[Parts]:
    """Yield the paths of modules whose tensors are all wanted, and of single tensors."""
    count = sum(name in wanted for name in names)
    if count == len(names) and names:
        yield at
    elif count:
        groups: dict[str, list[Parts]] = {}
        for name in names:
            groups.setdefault(name[len(at)], []).append(name)
        for part, inside in groups.items():
            yield from _cover((*at, part), inside, wanted)


def _widened(path: Parts, others: Iterable[str]) -> Parts:
    """Return a path with `*` for the numbers around what it names, if that names nothing else."""
    wide = (*(_NUMBER.sub("*", part) for part in path[:-1]), path[-1])
    if wide == path:
        return path
    pattern = parse_pattern(f"/{'.'.join(wide)}", None)
    return path if any(map(pattern.match, others)) else wide


def _joined(paths: Sequence[Parts]) -> list[Parts]:
    """Return paths with those as one that differ in one component alone: `h.[6-11]`, `{conv1,conv2}`."""
    found = list(paths)
    for at in reversed(range(max(map(len, found), default=0))):
        groups: dict[tuple[int, Parts], list[Parts]] = {}
        for path in found:
            groups.setdefault((len(path), (*path[:at], "", *path[at + 1 :])), []).append(path)
        found = [path for group in groups.values() for path in _alternatives(group, at)]
    return found


def _alternatives(paths: Sequence[Parts], at: int) -> Iterator[Parts]:
    parts = [path[at] for path in paths if at < len(path)]
    if len(parts) < 2 or not all(re.fullmatch(r"\w+", part) for part in parts):
        yield from paths
        return
    yield (*paths[0][:at], one_of(parts), *paths[0][at + 1 :])


def one_of(parts: Sequence[str]) -> str:
    """Return a pattern of some components: a range of numbers that follow each other, else all of them."""
    if all(part.isdigit() for part in parts):
        numbers = [int(part) for part in parts]
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            return f"[{numbers[0]}-{numbers[-1]}]"
    return f"{{{','.join(parts)}}}"
