"""A picture as Mermaid, which READMEs show: the model and its blocks, down to so many boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from compiler.drawing.data import shape_text
from compiler.drawing.drawing import Drawing
from compiler.drawing.graph import Graph, Node
from compiler.drawing.opened import opened_at_first
from compiler.drawing.ties import tied

MOST = 40
"""Boxes. Blocks are opened from the model down as long as there are no more."""
_MEANS_SOMETHING = {ord(sign): f"#{ord(sign)};" for sign in '"<>#&`|[]{}\\;'}


def mermaid(drawing: Drawing) -> str:
    """Return the picture as the text of a Mermaid flowchart."""
    opened = opened_at_first(drawing, MOST)
    lines = [*_graph(drawing, drawing.root, "n", (), opened), *_ties(drawing, opened)]
    return "\n".join(["flowchart TB", *lines, *_styles()]) + "\n"


def _ties(drawing: Drawing, opened: frozenset[tuple[int, ...]]) -> Iterator[str]:
    for (one, other), texts in islice(tied(drawing, opened).items(), MOST):
        more = f", and {len(texts) - 1} more" if len(texts) > 1 else ""
        ends = ["_".join(["n", *map(str, way)]) for way in (one, other)]
        yield f'{ends[0]} -. "tied: {_text(texts[0] + more)}" .- {ends[1]}'


def _graph(
    drawing: Drawing, number: int, name: str, path: tuple[int, ...], opened: frozenset[tuple[int, ...]]
) -> Iterator[str]:
    graph = drawing.graphs[number]
    names = {at: f"{name}_{at}" for at in range(len(graph.nodes))}
    for at, node in enumerate(graph.nodes):
        if (*path, at) in opened and node.inside is not None:
            yield f'subgraph {names[at]} ["{_label(node)}"]'
            yield from _graph(drawing, node.inside, names[at], (*path, at), opened)
            yield "end"
            yield from [f"class {names[at]} {node.change}"] if node.change else []
        elif _is_shown(graph, at, path):
            yield _box(node, names[at])
    yield from _edges(graph, names, path)


def _edges(graph: Graph, names: Mapping[int, str], path: tuple[int, ...]) -> Iterator[str]:
    for edge in graph.edges:
        if not (_is_shown(graph, edge.source, path) and _is_shown(graph, edge.target, path)):
            continue
        shape = _text(shape_text(edge)) if not edge.skips else ""
        arrow = "-.->" if edge.skips else "-->"
        label = f'|"{shape}"|' if shape else ""
        yield f"{names[edge.source]} {arrow}{label} {names[edge.target]}"


def _is_shown(graph: Graph, number: int, path: tuple[int, ...]) -> bool:
    """Return whether a node is drawn: where one value goes into a block and comes out of it, the block itself is."""
    if not path or graph.nodes[number].kind not in ("input", "output"):
        return True
    return any(edge.skips for edge in graph.out_of(number))


def _box(node: Node, name: str) -> str:
    label, style = f'"{_label(node)}"', _style(node)
    match node.kind:
        case "input" | "output":
            return f"{name}([{label}]){style}"
        case "operation":
            return f"{name}({label}){style}"
        case "tensor":
            return f"{name}[/{label}/]{style}"
    return f"{name}[{label}]{style}" if node.inside is None else f"{name}[[{label}]]{style}"


def _style(node: Node) -> str:
    frozen = "frozen" if "frozen" in node.marks else ""
    name = node.change or frozen or ("operation" if node.kind == "operation" else "")
    return f":::{name}" if name else ""


def _label(node: Node) -> str:
    parts = [node.label, node.type]
    times = f" × {len(node.copies)}" if node.copies else ""
    times = "" if node.type.endswith(times) else times
    text = "<br>".join(_text(part) for part in parts if part)
    marks = "".join(f"<br>{_text(mark)}" for mark in node.marks)
    return f"{text}{times}{marks}"


def _text(text: str) -> str:
    return text.translate(_MEANS_SOMETHING)


def _styles() -> Iterator[str]:
    yield "classDef operation fill:none,stroke-dasharray:2 2"
    yield "classDef frozen stroke:#4a90d9,stroke-width:3px"
    yield "classDef added stroke:#1a7f37,stroke-width:3px"
    yield "classDef removed stroke:#c0263a,stroke-width:3px,stroke-dasharray:5 3"
    yield "classDef changed stroke:#9a6700,stroke-width:3px"
    yield "classDef inside stroke:#9a6700,stroke-dasharray:2 3"
