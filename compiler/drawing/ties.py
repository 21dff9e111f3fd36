"""The boxes of a picture that shared parameters are in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from compiler.drawing.drawing import Drawing
from compiler.drawing.graph import Node

Way = tuple[int, ...]


def tied(drawing: Drawing, opened: frozenset[Way]) -> dict[tuple[Way, Way], list[str]]:
    """Return the pairs of boxes that share parameters, with what these are called, by the numbers of the nodes."""
    found: dict[tuple[Way, Way], list[str]] = {}
    for names in drawing.shared:
        ways = [_shown(drawing, name, opened) for name in names]
        boxes = list(dict.fromkeys(way for way in ways if way))
        for one, other in pairwise(boxes):
            if one == other[: len(one)] or other == one[: len(other)]:
                continue  # one of them is inside of the other
            text = " = ".join(names[ways.index(way)] for way in (one, other))
            found.setdefault((one, other), []).append(text)
    return found


def _shown(drawing: Drawing, name: str, opened: frozenset[Way]) -> Way:
    """Return the innermost box that is there of those that lead to a tensor; none if the picture has none."""
    way: Way = ()
    number: int | None = drawing.root
    while number is not None and name and way in opened:
        step = next(_steps(drawing, number, name), None)
        if step is None:
            break
        at, node, name = step
        way, number = (*way, at), node.inside
    return way


def _steps(drawing: Drawing, number: int, name: str) -> Iterator[tuple[int, Node, str]]:
    """Yield the nodes that a tensor is in, with its name from there; that of a part of a row has no name."""
    for at, node in enumerate(drawing.graphs[number].nodes):
        if node.kind == "row" and node.inside is not None and any(_steps(drawing, node.inside, name)):
            yield at, node, name
        for path in node.copies or (node.path,):
            if path and f"{name}.".startswith(f"{path}."):
                yield at, node, name[len(path) + 1 :]
