"""Which boxes of a picture are open before anybody opens one."""

from __future__ import annotations

from compiler.drawing.drawing import Drawing


def opened_at_first(drawing: Drawing, most: int) -> frozenset[tuple[int, ...]]:
    """Return the open boxes, by the numbers of the nodes that lead there: from the model down, while there is room."""
    opened: set[tuple[int, ...]] = {()}
    count = len(drawing.model.nodes)
    level: list[tuple[tuple[int, ...], int]] = [((), drawing.root)]
    while level:
        following: list[tuple[tuple[int, ...], int]] = []
        for path, number in level:
            for at, node in enumerate(drawing.graphs[number].nodes):
                size = 0 if node.inside is None else len(drawing.graphs[node.inside].nodes)
                if node.inside is None or node.kind == "row" or count + size > most:
                    continue
                count += size
                opened.add((*path, at))
                following.append(((*path, at), node.inside))
        level = following
    return frozenset(opened)
