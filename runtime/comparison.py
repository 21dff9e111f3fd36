"""What differs between two architectures, said shortly: of twelve layers, six are not six times twelve lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from compiler.artifact import Canonical
from runtime.manifest import Manifest, differences

NOT_STRUCTURE = ("name", "presets", "init", "placement", "train", "mesh")
"""Keys of a spec that no name, shape or dtype follows from."""
SHOWN = 20
"""Lines about the two specs; all tensors are listed."""
LONGEST = 60
DEEP, DIGITS = 64, 9
"""Components of a name, and digits of a number in it, that are compared: a file may have names of any length."""

_Tree: TypeAlias = dict[str, "_Tree"]


def tensor_lines(first: Manifest, second: Manifest, here: str, there: str) -> list[str]:
    """Return all differences of two manifests, those alike on one line. `here` and `there` say where each is."""
    found = differences(first, second)
    lines = [
        *_only([each.name for each in found if each.second is None], second.forms, here),
        *_only([each.name for each in found if each.first is None], first.forms, there),
    ]
    groups: dict[tuple[str, str], list[str]] = {}
    for each in found:
        if each.first is not None and each.second is not None:
            groups.setdefault((each.first, each.second), []).append(each.name)
    for (one, other), names in groups.items():
        lines += [f"{name}: {one} {here}, {other} {there}" for name in collapsed(names)]
    return lines


def _only(names: Iterable[str], others: Iterable[str], where: str) -> Iterator[str]:
    """Yield the tensors that stand on one side, by the outermost module that the other side has not."""
    known = _tree(others)
    counts: dict[str, int] = {}
    for name in names:
        root = _root(name.split("."), known)
        counts[root] = counts.get(root, 0) + 1
    for text, roots in collapsed(counts).items():
        count = sum(counts[root] for root in roots)
        yield f"only {where}: {text}" + (f" ({count} tensors)" if count > 1 else "")


def _tree(names: Iterable[str]) -> _Tree:
    """Return dotted names by their components, so that it is no larger than they are."""
    tree: _Tree = {}
    for name in names:
        at = tree
        for part in name.split("."):
            at = at.setdefault(part, {})
    return tree


def _root(parts: Sequence[str], known: _Tree) -> str:
    """Return the first components of a name that no known name begins with, or all of them."""
    at = known
    for count, part in enumerate(parts, 1):
        if part not in at:
            return ".".join(parts[:count])
        at = at[part]
    return ".".join(parts)


def collapsed(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names under one text where they differ in a number alone: `h.{0…5}.weight`."""
    rows: dict[tuple[str, ...], list[str]] = {tuple(name.split(".", DEEP)): [name] for name in names}
    for at in reversed(range(max(map(len, rows), default=0))):
        groups: dict[tuple[Any, ...], list[tuple[str, ...]]] = {}
        for row in rows:
            number = len(row) > at and _is_number(row[at])
            groups.setdefault((row[:at], row[at + 1 :]) if number else (row,), []).append(row)
        rows = {
            _merged(group, at) if len(key) == 2 else group[0]: [name for row in group for name in rows[row]]
            for key, group in groups.items()
        }
    return {".".join(row): members for row, members in rows.items()}


def _merged(rows: Sequence[tuple[str, ...]], at: int) -> tuple[str, ...]:
    return (*rows[0][:at], _ranges([int(row[at]) for row in rows]), *rows[0][at + 1 :])


def _is_number(text: str) -> bool:
    return len(text) <= DIGITS and text.isascii() and text.isdigit() and str(int(text)) == text


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ranges: `{0…2,5}`; a single one as it is."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if len(numbers) == 1:
        return str(numbers[0])
    return "{" + ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}…{run[-1]}" for run in runs) + "}"


def spec_lines(first: Canonical, second: Canonical) -> list[str]:
    """Return what differs between the architectures of two specs, as paths with both values."""
    lines = list(_changes(_structure(first), _structure(second), ()))
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"and {more} more differences between the specs"]


def _structure(canonical: Canonical) -> Mapping[str, Any]:
    documents = {"spec": canonical["spec"], **canonical["imports"]}
    kept = {
        path: {key: value for key, value in document.items() if key not in NOT_STRUCTURE}
        for path, document in documents.items()
    }
    return {**kept.pop("spec"), **kept}


def _changes(one: Any, other: Any, path: tuple[str, ...]) -> Iterator[str]:
    if _text(one) == _text(other):  # `true` is not 1
        return
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {**one, **other}:
            if key in one and key in other:
                yield from _changes(one[key], other[key], (*path, key))
            else:
                yield f"{'.'.join((*path, key))}: {_value(one, key)} → {_value(other, key)}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _changes(a, b, (*path, str(at)))
    elif isinstance(one, list) and isinstance(other, list):
        yield f"{'.'.join(path)}: {_count(one)} → {_count(other)}"
    else:
        yield f"{'.'.join(path)}: {_short(one)} → {_short(other)}"


def _value(mapping: Mapping[str, Any], key: str) -> str:
    return _short(mapping[key]) if key in mapping else "nothing"


def _count(items: Sequence[Any]) -> str:
    return "1 item" if len(items) == 1 else f"{len(items)} items"


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
