"""Which boxes of a picture are open before anybody opens one."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.drawing.drawing import Drawing
from compiler.drawing.graph import Node

MOST_CHANGED = 300
"""Boxes, where those are open in which something changed."""

Place = tuple[tuple[int, ...], Node]
"""A box by the numbers of the nodes that lead there."""


def opened_at_first(drawing: Drawing, most: int) -> frozenset[tuple[int, ...]]:
    """Return the open boxes, by the numbers of the nodes that lead there: whole levels, while there is room.

    In a picture of two models, those in which something changed.
    """
    opened: set[tuple[int, ...]] = {()}
    count = len(drawing.model.nodes)
    level = list(_closed(drawing, (), drawing.root))
    while level:
        compared = [place for place in level if _differs_inside(drawing, place[1])]
        level, room = (compared, MOST_CHANGED) if drawing.compared else (level, most)
        count += sum(len(drawing.graphs[node.inside or 0].nodes) for _, node in level)
        if count > room:
            break
        opened.update(path for path, _ in level)
        level = [each for path, node in level for each in _closed(drawing, path, node.inside or 0)]
    return frozenset(opened)


def _differs_inside(drawing: Drawing, node: Node) -> bool:
    is_on_both = node.change in ("inside", "changed") and node.inside is not None
    return is_on_both and any(each.change for each in drawing.graphs[node.inside or 0].nodes)


def _closed(drawing: Drawing, path: tuple[int, ...], number: int) -> Iterator[Place]:
    """Yield the boxes of a graph that can be opened; parts of long rows are left for who looks for them."""
    for at, node in enumerate(drawing.graphs[number].nodes):
        if node.inside is not None and (node.kind != "row" or node.change):
            yield (*path, at), node
