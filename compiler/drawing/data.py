"""A drawing as plain values, which the page and the engine of the layout read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.drawing.drawing import Drawing
from compiler.drawing.graph import Edge, Graph, Node
from compiler.drawing.opened import opened_at_first
from compiler.rules.plan import Decision, PlanRow
from compiler.rules.provenance import Origin, Provenance
from spec_schema.selectors import Step, path_of
from spec_schema.shown import shown

MOST = 40
"""Boxes that are there at first."""


def picture_data(drawing: Drawing, most: int = MOST) -> dict[str, Any]:
    """Return what a picture is made from, without what is known of each tensor."""
    return {
        "title": drawing.title,
        "root": drawing.root,
        "graphs": [_graph(graph) for graph in drawing.graphs],
        "opened": ["/".join(map(str, path)) for path in sorted(opened_at_first(drawing, most)) if path],
        "compared": drawing.compared,
        "shared": [list(names) for names in drawing.shared],
    }


def page_data(drawing: Drawing, origins: Provenance) -> dict[str, Any]:
    """Return what a page knows: the picture, all modules and tensors, and what decided each of these."""
    places = {steps: at for at, steps in enumerate(drawing.modules)}
    rows = {row.name: at for at, row in enumerate(drawing.rows)}
    said: dict[str, int] = {}
    reasons: list[Any] = []
    listed = [_row(row, origins, said, reasons) for row in drawing.rows]
    numbers = {name: at for row, at in zip(drawing.rows, rows.values(), strict=True) for name in row.names}
    return {
        **picture_data(drawing),
        "modules": [_module(steps, places) for steps in drawing.modules],
        "tensors": [
            _tensor(steps, places, numbers[name])
            for name, steps in drawing.tensors.items()
            if name in numbers
        ],
        "rows": listed,
        "reasons": reasons,
        "variables": dict(drawing.variables),
        "parameters": drawing.parameters,
    }


def _graph(graph: Graph) -> dict[str, Any]:
    return {"nodes": [_node(node) for node in graph.nodes], "edges": [_edge(edge) for edge in graph.edges]}


def _node(node: Node) -> list[Any]:
    marks, copies = list(node.marks), list(node.copies)
    found = [node.kind, node.label, node.type, node.path, node.inside, marks, node.parameters, copies]
    return [*found, node.change] if node.change else found


def _edge(edge: Edge) -> list[Any]:
    found = [edge.source, edge.target, shape_text(edge), int(edge.skips)]
    return [*found, edge.change] if edge.change else found


def shape_text(edge: Edge) -> str:
    """Return the shapes of a value, equal ones once."""
    counts: dict[str, int] = {}
    for shape in edge.shapes:
        counts[shape] = counts.get(shape, 0) + 1
    texts = [f"{count} × {shape}" if count > 1 else shape for shape, count in counts.items()]
    return ", ".join(texts[:2]) + (", …" if len(texts) > 2 else "")


# Modules and tensors.


def _step(step: Step) -> list[Any]:
    name, kind, place, base = step
    return [name, kind, None if place is None else list(place), base]


def _module(steps: tuple[Step, ...], places: Mapping[tuple[Step, ...], int]) -> list[Any]:
    """Return the number of the module around, and the step from there. The model is the first one."""
    if not steps:
        return [-1, "", "", None, ""]
    return [places.get(steps[:-1], 0), *_step(steps[-1])]


def _tensor(steps: tuple[Step, ...], places: Mapping[tuple[Step, ...], int], row: int) -> list[Any]:
    """Return the module that a tensor is in, the steps from there, and the number of its row."""
    around = len(steps) - 1
    while steps[:around] not in places:
        around -= 1
    return [places[steps[:around]], [_step(step) for step in steps[around:]], row, path_of(steps)]


# What `explain` says.


def _row(row: PlanRow, origins: Provenance, said: dict[str, int], reasons: list[Any]) -> list[Any]:
    """Return a tensor with the number of what is said of it: of many, the same is said."""
    lines = [[shown(part) for part in line] for line in _reasons(row, origins)]
    key = repr(lines)
    if key not in said:
        said[key] = len(reasons)
        reasons.append(lines)
    form = f"{str(row.dtype).removeprefix('torch.')}{list(row.shape)}"
    return [list(row.names), form, said[key]]


def _reasons(row: PlanRow, origins: Provenance) -> Iterator[tuple[str, str, str, str]]:
    """Yield what decided a tensor: what it is about, what is decided, where that stands, and whether it won."""
    if row.kind == "parameter":
        yield row.kind, "trained" if row.trainable else "frozen", "", "won"
    else:
        yield row.kind, "saved" if row.persistent else "not saved", "", "won"
    if row.initialisation is None and not row.decisions:
        yield "value", "the layer's own", "", "won"
    if row.copied is not None:
        yield "begins as", row.copied.source, "", "won"
    for each in row.decisions:
        yield _decision(each)
    yield from _origins(row, origins)


def _decision(decision: Decision) -> tuple[str, str, str, str]:
    where = decision.where() if decision.place else "PyTorch's default"
    return decision.section, decision.text, where, "won" if decision.won else "overruled"


def _origins(row: PlanRow, origins: Provenance) -> Iterator[tuple[str, str, str, str]]:
    decided = {decision.section for decision in row.decisions}
    for origin in origins.names(row.initialisation) if row.initialisation else ():
        yield _origin("where", origin)
    if "placement" not in decided:
        yield "device", row.device, "default", "won"
    if "dtype" not in decided:
        yield _origin("dtype", origins.dtype(row.source))
    for at, size in enumerate(origins.stored_sizes(row)):
        for number, origin in enumerate(size.origins):
            text = origin.text if number else f"{size.value}: {origin.text}"
            yield _origin(f"size {at}", origin, text)


def _origin(title: str, origin: Origin, text: str | None = None) -> tuple[str, str, str, str]:
    return title, origin.text if text is None else text, origin.where(), "won"
