"""Two models in one picture: the second one, with what is gone of the first, and with what changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

from compiler.artifact import Artifact
from compiler.diff.matching import match
from compiler.diff.split import split
from compiler.diff.tree import tree_of
from compiler.drawing.drawing import Drawing
from compiler.drawing.graph import Edge, Graph, Node

Pairs = list[tuple[int | None, int | None]]
"""The numbers of nodes that are the same on both sides, or that one side has alone, in the order of the picture."""


def compared(before: Artifact, after: Artifact, drawings: tuple[Drawing, Drawing], title: str) -> Drawing:
    """Return the picture of two models."""
    one, other = drawings
    pairs = match(tree_of(before), tree_of(after)).pairs
    known = {first.path: second.path for first, second in pairs}
    joined = _Joined(one.graphs, other.graphs, known)
    root, _ = joined.graph(one.root, other.root, "", "")
    return replace(other, title=title, graphs=tuple(joined.graphs), root=root, compared=True)


@dataclass(eq=False)
class _Joined:
    """Joins graphs. `partners` are the paths in the second model of modules of the first."""

    before: Sequence[Graph]
    after: Sequence[Graph]
    partners: Mapping[str, str]
    graphs: list[Graph] = field(default_factory=list)
    known: dict[Hashable, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graphs = [*self.after, *(self._moved(graph) for graph in self.before)]

    def _moved(self, graph: Graph) -> Graph:
        return replace(graph, nodes=tuple(map(self._of_before, graph.nodes)))

    def _of_before(self, node: Node) -> Node:
        """Return a node of the first model, in which nothing can be looked up any more."""
        inside = None if node.inside is None else node.inside + len(self.after)
        return replace(node, inside=inside, path=None)

    def graph(self, one: int, other: int, path: str, after_path: str) -> tuple[int, bool]:
        """Return the number of a graph that joins two, and whether anything in it changed."""
        first, second = split(
            self.before[one],
            self.after[other],
            lambda name: self.partners.get(_below(path, name), f"/{_below(path, name)}"),
            lambda name: _below(after_path, name),
        )
        pairs = _pairs(self._tokens(first, path, known=True), self._tokens(second, after_path, known=False))
        nodes = [self._node(first, second, pair, path, after_path) for pair in pairs]
        made = Graph(tuple(nodes), tuple(_edges(first, second, pairs)))
        if not any(node.change for node in nodes) and not any(edge.change for edge in made.edges):
            return other, False
        key = (one, other, tuple(nodes))
        if key not in self.known:
            self.known[key] = len(self.graphs)
            self.graphs.append(made)
        return self.known[key], True

    def _tokens(self, graph: Graph, path: str, known: bool) -> list[Hashable]:
        """Return what tells which nodes are the same: the path in the second model, or the operation."""
        return [self._token(node, path, known) for node in graph.nodes]

    def _token(self, node: Node, path: str, known: bool) -> Hashable:
        if node.path is None or node.kind == "tensor":
            return node.kind, node.label if node.kind != "output" else ""
        whole = joined_path(path, node)
        return self.partners.get(whole, ("gone", whole)) if known else whole

    def _node(
        self, first: Graph, second: Graph, pair: tuple[int | None, int | None], path: str, after_path: str
    ) -> Node:
        one, other = pair
        if other is None:
            assert one is not None
            return replace(self._of_before(first.nodes[one]), change="removed")
        if one is None:
            return replace(second.nodes[other], change="added")
        return self._both(first.nodes[one], second.nodes[other], path, after_path)

    def _both(self, before: Node, after: Node, path: str, after_path: str) -> Node:
        made = _changed(before, after)
        if before.inside is None or after.inside is None:
            return made
        paths = joined_path(path, before), joined_path(after_path, after)
        inside, differs = self.graph(before.inside, after.inside, *paths)
        return replace(made, inside=inside, change=made.change or ("inside" if differs else ""))


def joined_path(path: str, node: Node) -> str:
    """Return the path of a node from the root of its model; a part of a row is where the row is."""
    return _below(path, node.path or "")


def _below(path: str, name: str) -> str:
    return ".".join(filter(None, (path, name)))


def _changed(before: Node, after: Node) -> Node:
    """Return a node with what is said of it on both sides, where that differs."""
    texts = {
        "label": (before.label, after.label),
        "type": (_type(before, after), _type(after, before)),
    }
    differing = {name: " → ".join(both) for name, both in texts.items() if both[0] != both[1] and all(both)}
    own = after.inside is None and before.parameters != after.parameters
    differs = bool(differing) or before.marks != after.marks or own
    if after.path is None:
        return replace(after, change="")
    return replace(after, **differing, change="changed" if differs else "")  # type: ignore[arg-type]


def _type(node: Node, other: Node) -> str:
    """Return the type of a node, with the number of its copies where there are as many as there were not."""
    counts = max(len(node.copies), 1), max(len(other.copies), 1)
    return f"{node.type} × {counts[0]}" if counts[0] != counts[1] else node.type


def _pairs(before: Sequence[Hashable], after: Sequence[Hashable]) -> Pairs:
    """Return which nodes are the same: those in the same order, and modules wherever they are called first."""
    found: Pairs = []
    for tag, start, end, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found.extend(zip(range(start, end), range(first, last), strict=True))
        else:
            found.extend((one, None) for one in range(start, end))
            found.extend((None, other) for other in range(first, last))
    return _moved_together(found, before, after)


def _moved_together(found: Pairs, before: Sequence[Hashable], after: Sequence[Hashable]) -> Pairs:
    alone = {before[one]: one for one, other in found if other is None and one is not None}
    moved: dict[int, int] = {}
    for one, other in found:
        if one is None and other is not None and isinstance(after[other], str) and after[other] in alone:
            moved[other] = alone.pop(after[other])
    gone = set(moved.values())
    kept = [(one, other) for one, other in found if other is not None or one not in gone]
    return [(moved.get(other, one) if other is not None else one, other) for one, other in kept]


def _edges(before: Graph, after: Graph, pairs: Pairs) -> Iterator[Edge]:
    """Yield the edges of both graphs, each once."""
    places = [
        {each: at for at, pair in enumerate(pairs) if (each := pair[side]) is not None} for side in (0, 1)
    ]
    old = {(places[0][edge.source], places[0][edge.target]): edge for edge in before.edges}
    for edge in after.edges:
        ends = places[1][edge.source], places[1][edge.target]
        change = "" if ends in old else "added"
        old.pop(ends, None)
        yield replace(edge, source=ends[0], target=ends[1], change=change)
    for ends, edge in old.items():
        yield replace(edge, source=ends[0], target=ends[1], change="removed")
