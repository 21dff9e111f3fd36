"""What a picture shows is what the model computes: each value from where it is made to where it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.drawing import traced
from compiler.drawing.drawing import Drawing, draw
from compiler.drawing.graph import Graph, Node
from compiler.drawing.html import html
from compiler.drawing.mermaid import mermaid
from compiler.pipeline import compile
from compiler.rules.provenance import Provenance

ZOO = sorted(Path("specs/zoo").glob("*.yaml"))
Draw = Callable[[str], Drawing]

ONE = """\
spec: 1
inputs: {x: "float32[batch, 8]"}
"""


def edges(graph: Graph) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return the edges of a graph by the labels of their ends."""
    labels = [node.label for node in graph.nodes]
    return [(labels[edge.source], labels[edge.target], edge.shapes) for edge in graph.edges]


def test_each_value_goes_from_its_call_to_those_that_use_it(drawing: Drawing) -> None:
    assert edges(drawing.model) == [
        ("tokens", "embed", ("[batch, time]",)),
        ("embed", "h.0", ("[batch, time, 8]",)),
        ("embed", "h", ("[batch, time, 8]",)),
        ("h.0", "flatten · unflatten", ("[batch, time, 8]",)),
        ("h", "+", ("[batch, time, 8]",)),
        ("flatten · unflatten", "+", ("[batch, time, 8]",)),
        ("+", "head", ("[batch, time, 8]",)),
        ("head", "output", ("[batch, time, 16]",)),
    ]


def test_a_skip_connection_is_known_as_one(drawing: Drawing) -> None:
    block = next(graph for graph in drawing.graphs if any(node.label == "down" for node in graph.nodes))
    (skip,) = [edge for edge in block.edges if edge.skips]
    assert (block.nodes[skip.source].kind, block.nodes[skip.target].label) == ("input", "+")
    assert not any(edge.skips for edge in drawing.model.edges)


def test_equal_copies_are_one_box_and_frozen_ones_another(drawing: Drawing) -> None:
    (h,) = [node for node in drawing.model.nodes if node.label == "h"]
    assert h.inside is not None
    assert h.marks == ("partly frozen",)
    inside = [node for node in drawing.graphs[h.inside].nodes if node.path is not None]
    assert [(node.label, node.copies, node.marks) for node in inside] == [
        ("0 … 1", ("0", "1"), ("frozen",)),
        ("2 … 3", ("2", "3"), ()),
    ]
    assert len({node.inside for node in inside}) == 2
    assert inside[0].parameters == inside[1].parameters == 8 * 16 + 16 + 16 * 8 + 8 + 16


def test_an_operation_in_a_list_is_called_what_it_is(drawn_text: Draw) -> None:
    drawing = drawn_text(
        ONE + "model:\n  - Linear(8)\n  - relu\n  - act: gelu\n  - Linear(8)\n  - leaky_relu(0.2)\n"
    )
    found = [(node.label, node.type, node.path) for node in drawing.model.nodes if node.kind == "operation"]
    assert found == [("relu · act: gelu", "", "1"), ("leaky_relu(0.2)", "", "4")]


def test_a_list_of_tensors_is_no_operation(drawn_text: Draw) -> None:
    drawing = drawn_text(
        ONE + "model:\n  layers: {a: Linear(8), b: Linear(4)}\n"
        "  forward: |\n    kept = [x]\n    kept = kept + [a(x)]\n    last, first = reversed(kept)\n"
        "    return b(last) + b(first)\n"
    )
    labels = [node.label for node in drawing.model.nodes]
    assert labels == ["x", "a", "b", "b", "+", "output"]


def test_parameters_that_a_program_reads_are_drawn(drawn_text: Draw) -> None:
    drawing = drawn_text(
        ONE + "model:\n  layers: {a: Linear(8)}\n  parameters: {scale: {tensor: 'float32[8]', init: ones}}\n"
        "  forward: |\n    return scale * a(x) @ a.weight.T\n"
    )
    kinds = {node.label: node.kind for node in drawing.model.nodes}
    assert kinds["scale"] == kinds["a.weight"] == "tensor"


def test_a_long_row_is_drawn_in_parts(drawn_text: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "SYMBOLIC_SECONDS", 0.0)
    drawing = drawn_text(
        ONE + "blocks:\n  B(n): [Linear(8 + n), Linear(8)]\nmodel:\n  - h: {repeat: 90, of: B(index)}\n"
    )
    rows = [graph for graph in drawing.graphs if any(node.kind == "row" for node in graph.nodes)]
    assert rows
    assert max(len(graph.nodes) for graph in drawing.graphs) < 45
    assert sum("in a row" in node.type for graph in drawing.graphs for node in graph.nodes) >= 20


def test_the_turns_of_a_long_loop_are_one(drawn_text: Draw) -> None:
    drawing = drawn_text(
        ONE + "model:\n  layers: {a: Linear(8), b: Linear(8)}\n"
        "  forward: |\n    for i in range(20):\n      x = x + b(relu(a(x)))\n    return x\n"
    )
    (loop,) = [node for node in drawing.model.nodes if node.kind == "row"]
    assert loop.label.startswith("loop × ")
    assert len(drawing.model.nodes) < 12


def test_mermaid_links_what_is_tied(drawing: Drawing) -> None:
    lines = mermaid(drawing).splitlines()
    assert [line for line in lines if "tied" in line] == ['n_1 -. "tied: embed.weight = head.weight" .- n_6']
    assert {line[:4] for line in lines if "embed<br>" in line or "head<br>" in line} == {"n_1[", "n_6["}


def test_the_copies_of_a_changed_box_are_counted_once() -> None:
    node = Node("block", "0 … 4", "Layer × 3 → Layer × 5", "0", copies=tuple("01234"), change="changed")
    picture = Drawing("", (Graph((node,)),), 0, (), (), {}, {}, compared=True)
    assert '"0 … 4<br>Layer × 3 → Layer × 5"' in mermaid(picture)


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_every_architecture_of_the_zoo_is_drawn(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "SYMBOLIC_SECONDS", 0.0)  # the names of dimensions take most of the time
    artifact = compile(path)
    drawing = draw(artifact.inferred, artifact.plan, artifact.name)
    assert max(len(graph.nodes) for graph in drawing.graphs) <= 60
    for graph in drawing.graphs:
        ends = {edge.source for edge in graph.edges} | {edge.target for edge in graph.edges}
        called = {at for at, node in enumerate(graph.nodes) if node.kind in ("layer", "block", "sequence")}
        assert called <= ends or len(graph.nodes) < 3
        assert all(edge.source < edge.target for edge in graph.edges)
    text = mermaid(drawing)
    assert text.count("\n") < 250
    assert text.count("subgraph ") == text.split().count("end")
    assert artifact.name in html(drawing, Provenance(artifact.inferred))
