"""Copies of two models side by side: where one box stands for what are several on the other side, it is split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from compiler.drawing.graph import Edge, Graph, Node
from compiler.drawing.wording import cut

Groups = Mapping[str, int]
"""The number of the node that each copy is in, by its path in the second model."""


def split(
    first: Graph, second: Graph, partner: Callable[[str], str], own: Callable[[str], str]
) -> tuple[Graph, Graph]:
    """Return two graphs whose boxes of copies are the same, or have no part in common.

    `partner` and `own` return the path in the second model of a copy of the first and of the second one.
    """
    before, after = _groups(first, partner), _groups(second, own)
    return _split(first, partner, before, after), _split(second, own, after, before)


def _groups(graph: Graph, name: Callable[[str], str]) -> Groups:
    return {name(path): at for at, node in enumerate(graph.nodes) for path in _paths(node)}


def _paths(node: Node) -> tuple[str, ...]:
    return node.copies or (() if node.path is None else (node.path,))


def _split(graph: Graph, name: Callable[[str], str], own: Groups, others: Groups) -> Graph:
    parts = [_parts(node, name, own, others) for node in graph.nodes]
    if all(len(each) == 1 for each in parts):
        return graph
    starts = [sum(map(len, parts[:at])) for at in range(len(parts))]
    ends = [start + len(each) - 1 for start, each in zip(starts, parts, strict=True)]
    edges = [replace(edge, source=ends[edge.source], target=starts[edge.target]) for edge in graph.edges]
    for at, start in enumerate(starts):
        edges.extend(_between(graph, at, range(start, ends[at] + 1), ends))
    return Graph(tuple(node for each in parts for node in each), tuple(edges))


def _between(graph: Graph, at: int, numbers: Sequence[int], ends: Sequence[int]) -> Iterator[Edge]:
    """Yield the edges from each part to the next, and of what all copies get."""
    shapes = next((edge.shapes for edge in graph.out_of(at)), ())
    for number in numbers[1:]:
        yield Edge(number - 1, number, shapes)
        for edge in graph.into(at)[1:]:
            yield replace(edge, source=ends[edge.source], target=number)


def _parts(node: Node, name: Callable[[str], str], own: Groups, others: Groups) -> list[Node]:
    if len(node.copies) < 2:
        return [node]
    places = [others.get(name(path)) for path in node.copies]
    met = {place for place in places if place is not None}
    back = {own[path] for path, place in others.items() if place in met and path in own}
    if len(met) < 2 and len(back) < 2:
        return [node]
    runs = groupby(zip(places, node.copies, strict=True), key=lambda each: each[0])
    return [_part(node, tuple(path for _, path in run)) for _, run in runs]


def _part(node: Node, copies: tuple[str, ...]) -> Node:
    if len(copies) == 1:
        return replace(node, label=cut(copies[0]), path=copies[0], copies=())
    return replace(node, label=cut(f"{copies[0]} … {copies[-1]}"), path=copies[0], copies=copies)
