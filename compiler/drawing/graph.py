"""What a picture shows, as values: graphs of calls, one for all blocks that are alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["input", "output", "layer", "block", "sequence", "operation", "tensor", "row"]
"""A `tensor` is a parameter or buffer that a program reads itself; a `row` stands for several nodes one behind the
other: copies that are equal, or some of very many."""


@dataclass(frozen=True)
class Edge:
    """A value that goes from one node to another one. `shapes` are those of its tensors."""

    source: int
    target: int
    shapes: tuple[str, ...]
    skips: bool = False
    """Whether it goes past nodes that lie between the two."""
    change: str = ""
    """In a picture of two models: `added` or `removed`."""


@dataclass(frozen=True)
class Node:
    """A call in a graph: of a layer, a block, or an operation; or where values come in and go out.

    `path` is the name of the module from the one that the graph is of, None where nothing is called by name.
    """

    kind: Kind
    label: str
    type: str = ""
    path: str | None = None
    inside: int | None = None
    """The number of the graph of what is inside."""
    marks: tuple[str, ...] = ()
    """What rules decide about all of its tensors, or some."""
    parameters: int = 0
    copies: tuple[str, ...] = ()
    """The paths of equal modules, one behind the other, of which it shows one."""
    change: str = ""
    """In a picture of two models: `added`, `removed`, `changed`, or `inside` where that is said of something in it."""


@dataclass(frozen=True)
class Graph:
    """The calls of one block, list or repeat, in the order in which they are made."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()

    def into(self, target: int) -> list[Edge]:
        """Return the edges that end at a node."""
        return [edge for edge in self.edges if edge.target == target]

    def out_of(self, source: int) -> list[Edge]:
        """Return the edges that begin at a node."""
        return [edge for edge in self.edges if edge.source == source]


@dataclass(eq=False)
class Growing:
    """A graph while its calls are made."""

    nodes: list[Node] = field(default_factory=list)
    edges: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def add(self, node: Node) -> int:
        """Add a node; return its number."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def join(self, source: int, target: int, shape: str) -> None:
        """Let a tensor go from one node to another one."""
        self.edges.setdefault((source, target), []).append(shape)

    def graph(self) -> Graph:
        """Return what has grown."""
        edges = (Edge(*ends, tuple(shapes)) for ends, shapes in self.edges.items())
        return Graph(tuple(self.nodes), tuple(edges))
