"""What makes a graph readable: operations in a row are one node, and so are equal copies, and parts of a long row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from compiler.drawing.graph import Edge, Graph, Node

TOGETHER = 3
"""Operations that one node names."""
LONG = 40
"""Nodes in a row, from which on it is shown in parts."""
PARTS = 24
"""Of a long row."""


def folded(graphs: Sequence[Graph]) -> tuple[Graph, ...]:
    """Return graphs in a readable form. The numbers of those that are given stay, and parts of rows follow."""
    found: list[Graph] = []
    parts: list[Graph] = []
    for graph in graphs:
        joined = _turns_joined(_operations_joined(graph), len(graphs), parts)
        short = _in_parts(_copies_joined(joined), len(graphs), parts)
        found.append(with_skips(short))
    return (*found, *map(with_skips, parts))


def merged(graph: Graph, groups: Sequence[tuple[Sequence[int], Node]]) -> Graph:
    """Return a graph in which groups of nodes are one node each. Edges inside of a group are gone."""
    replaced = {number: (group[0], node) for group, node in groups for number in group}
    numbers: dict[int, int] = {}
    nodes: list[Node] = []
    for number, node in enumerate(graph.nodes):
        first, made = replaced.get(number, (number, node))
        if first not in numbers:
            numbers[first] = len(nodes)
            nodes.append(made)
        numbers[number] = numbers[first]
    edges: dict[tuple[int, int], Edge] = {}
    for edge in graph.edges:
        ends = numbers[edge.source], numbers[edge.target]
        if ends[0] != ends[1]:
            edges.setdefault(ends, replace(edge, source=ends[0], target=ends[1]))
    return Graph(tuple(nodes), tuple(edges.values()))


# Operations.


def _operations_joined(graph: Graph) -> Graph:
    """Join operations of which each has what the one before it gives, and nothing else has that."""
    links = Links(graph)
    groups: list[list[int]] = []
    for number, node in enumerate(graph.nodes):
        before = links.only_source(number)
        if node.kind != "operation" or len(links.sources[number]) != 1:
            continue
        group = next((each for each in groups if each[-1] == before and len(each) < TOGETHER), None)
        if group is not None and links.only_target(group[-1]) == number:
            group.append(number)
        else:
            groups.append([number])
    return merged(graph, [(group, _joined(graph, group)) for group in groups if len(group) > 1])


def _joined(graph: Graph, group: Sequence[int]) -> Node:
    labels = [graph.nodes[number].label for number in group]
    return replace(graph.nodes[group[0]], label=" · ".join(labels))


@dataclass(eq=False)
class Links:
    """The nodes before and behind each node."""

    graph: Graph

    def __post_init__(self) -> None:
        self.sources: list[set[int]] = [set() for _ in self.graph.nodes]
        self.targets: list[set[int]] = [set() for _ in self.graph.nodes]
        for edge in self.graph.edges:
            self.sources[edge.target].add(edge.source)
            self.targets[edge.source].add(edge.target)

    def only_source(self, number: int) -> int | None:
        """Return the node that all of its inputs come from, if it is one."""
        return next(iter(self.sources[number])) if len(self.sources[number]) == 1 else None

    def only_target(self, number: int) -> int | None:
        """Return the node that its output goes to, if it is one."""
        return next(iter(self.targets[number])) if len(self.targets[number]) == 1 else None


# Turns of loops.

LONGEST_TURN = 24
"""Nodes of one turn of a loop."""
MANY_TURNS = 6


def _turns_joined(graph: Graph, first: int, parts: list[Graph]) -> Graph:
    """Show the turns of a long loop as one of them."""
    if len(graph.nodes) <= LONG:
        return graph
    forms = [
        (node.kind, node.label if node.path is None or node.kind == "operation" else _form(node))
        for node in graph.nodes
    ]
    groups: list[tuple[Sequence[int], Node]] = []
    at = 0
    while at < len(forms):
        turn, count = _turns(forms, at)
        if count >= MANY_TURNS:
            groups.append((range(at, at + turn * count), _loop(graph, at, turn, count, first, parts)))
        at += max(turn * count, 1) if count >= MANY_TURNS else 1
    return merged(graph, groups)


def _turns(forms: Sequence[object], at: int) -> tuple[int, int]:
    """Return how many nodes are alike again and again from here on, and how often."""
    for turn in range(2, LONGEST_TURN + 1):
        end = at + turn
        while end < len(forms) and forms[end] == forms[end - turn]:
            end += 1
        if (end - at) // turn >= MANY_TURNS:
            return turn, (end - at) // turn
    return 1, 1


def _loop(graph: Graph, at: int, turn: int, count: int, first: int, parts: list[Graph]) -> Node:
    """Add the graph of one turn; return the node that stands for all of them."""
    inside = _cut_out(graph, range(at, at + turn))
    nodes = list(inside.nodes)
    start = len(nodes) - 1 - turn
    for place in range(turn):
        turns = [graph.nodes[at + place + turn * number] for number in range(count)]
        paths = tuple(dict.fromkeys(node.path for node in turns if node.path is not None))
        if len(paths) > 1:
            nodes[start + place] = replace(turns[0], copies=paths)
    parts.append(replace(inside, nodes=tuple(nodes)))
    number = first + len(parts) - 1
    parameters = sum(node.parameters for node in graph.nodes[at : at + turn * count])
    return Node("row", f"loop × {count}", "one of its turns", None, number, (), parameters)


# Rows.


def rows_of(graph: Graph, alike: bool) -> Iterator[list[int]]:
    """Yield runs of calls of modules, each of which gets what the one before gives, and what all of them get.

    `alike` asks for the same module, as far as a picture tells.
    """
    links = Links(graph)
    run: list[int] = []
    for number, node in enumerate(graph.nodes):
        if node.path is None or node.kind not in ("layer", "block", "sequence", "row"):
            continue
        if run and _goes_on(graph, links, run, number, alike):
            run.append(number)
            continue
        yield run
        run = [number]
    yield run


def _goes_on(graph: Graph, links: Links, run: Sequence[int], number: int, alike: bool) -> bool:
    last, node = run[-1], graph.nodes[number]
    if links.only_target(last) != number:
        return False
    before, others = links.sources[run[0]], links.sources[number] - {last}
    if not others <= before or len(before) != len(others) + 1:
        return False
    return not alike or _form(graph.nodes[last]) == _form(node)


def _form(node: Node) -> object:
    return node.kind, node.type, node.inside, node.marks, node.parameters


def _copies_joined(graph: Graph) -> Graph:
    runs = [run for run in rows_of(graph, alike=True) if len(run) > 1]
    return merged(graph, [(run, _copies(graph, run)) for run in runs])


def _copies(graph: Graph, run: Sequence[int]) -> Node:
    """Return a node for copies; a layer that is called again and again is no copy of itself."""
    nodes = [graph.nodes[number] for number in run]
    names, paths = [node.label for node in nodes], [node.path or "" for node in nodes]
    label = f"{names[0]} … {names[-1]}" if len({*names}) > 1 else names[0]
    return replace(nodes[0], label=label, copies=tuple(paths))


# Long rows.


def _in_parts(graph: Graph, first: int, parts: list[Graph]) -> Graph:
    """Show long rows in parts, each a graph of its own."""
    groups: list[tuple[Sequence[int], Node]] = []
    for run in rows_of(graph, alike=False):
        if len(run) <= LONG:
            continue
        size = -(-len(run) // PARTS)
        for start in range(0, len(run), size):
            group = run[start : start + size]
            if len(group) > 1:
                groups.append((group, _part(graph, group, first, parts)))
    return merged(graph, groups)


def _part(graph: Graph, run: Sequence[int], first: int, parts: list[Graph]) -> Node:
    """Add the graph of a part; return the node that stands for it."""
    inside = _in_parts(_cut_out(graph, run), first, parts)
    parts.append(inside)
    nodes = [graph.nodes[number] for number in run]
    marks = tuple(dict.fromkeys(mark for node in nodes for mark in node.marks))
    count = sum(max(len(node.copies), 1) for node in nodes)
    label = f"{nodes[0].label.split(' … ')[0]} … {nodes[-1].label.split(' … ')[-1]}"
    parameters = sum(node.parameters * max(len(node.copies), 1) for node in nodes)
    return Node("row", label, f"{count:,} in a row", None, first + len(parts) - 1, marks, parameters)


def _cut_out(graph: Graph, run: Sequence[int]) -> Graph:
    """Return the nodes of a run with what goes in and out."""
    members = {number: at for at, number in enumerate(run)}
    outside = dict.fromkeys(
        edge.source for edge in graph.edges if edge.target in members and edge.source not in members
    )
    inputs = {number: at for at, number in enumerate(outside)}
    numbers = {**inputs, **{number: len(inputs) + at for number, at in members.items()}}
    output = len(numbers)
    nodes = [Node("input", "") for _ in inputs] + [graph.nodes[number] for number in run]
    edges = [
        replace(edge, source=numbers[edge.source], target=numbers.get(edge.target, output))
        for edge in graph.edges
        if edge.target in members or edge.source in members
    ]
    return Graph((*nodes, Node("output", "output")), tuple(edges))


# Edges that go past others.


def with_skips(graph: Graph) -> Graph:
    """Return a graph of which it is known which edges go past other nodes."""
    beyond = [0] * len(graph.nodes)
    links = Links(graph)
    for number in reversed(range(len(graph.nodes))):
        for target in links.targets[number]:
            beyond[number] |= 1 << target | beyond[target]

    def skips(edge: Edge) -> bool:
        others = links.targets[edge.source] - {edge.target}
        return any(beyond[other] >> edge.target & 1 for other in others)

    return Graph(graph.nodes, tuple(replace(edge, skips=skips(edge)) for edge in graph.edges))
