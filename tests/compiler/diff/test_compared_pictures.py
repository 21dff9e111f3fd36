"""Two models in one picture: what is new, gone and other stands where it is, and nothing else is marked."""

from __future__ import annotations

from compiler.artifact import Artifact
from compiler.diff.picture import compared
from compiler.drawing.drawing import Drawing, draw
from compiler.drawing.graph import Graph
from compiler.drawing.opened import opened_at_first
from compiler.pipeline import compile_text

BEFORE = """\
spec: 1
name: tagger
inputs: {x: "float32[4, 8]"}
blocks:
  Layer:
    layers: {norm: LayerNorm, up: Linear(16), down: Linear(8)}
    forward: |
      return x + down(gelu(up(norm(x))))
model:
  layers:
    h: {repeat: 2, of: Layer}
    old: Linear(8)
    out: Linear(9)
  forward: |
    return out(old(h(x)))
"""
AFTER = (
    BEFORE.replace("down: Linear(8)}", "drop: Dropout(0.1), down: Linear(8)}")
    .replace("down(gelu(", "down(drop(gelu(")
    .replace("norm(x))))", "norm(x)))))")
    .replace("    old: Linear(8)\n", "")
    .replace("out(old(h(x)))", "out(h(x))")
    .replace("Linear(9)", "Linear(17)")
    .replace("repeat: 2", "repeat: 4")
)


def picture(before: str, after: str) -> Drawing:
    sides = compile_text(before), compile_text(after)
    return compared(*sides, (drawn(sides[0]), drawn(sides[1])), "both")


def drawn(artifact: Artifact) -> Drawing:
    return draw(artifact.inferred, artifact.plan, artifact.name)


def marked(graph: Graph) -> dict[str, str]:
    return {node.label: node.change for node in graph.nodes if node.change}


def test_what_changed_stands_where_it_is() -> None:
    both = picture(BEFORE, AFTER)
    assert marked(both.model) == {"h": "inside", "old": "removed", "out": "changed"}
    labels = [node.label for node in both.model.nodes]
    changed = {(labels[edge.source], labels[edge.target], edge.change) for edge in both.model.edges}
    assert {("h", "old", "removed"), ("old", "out", "removed"), ("h", "out", "added")} <= changed
    (out,) = [node for node in both.model.nodes if node.label == "out"]
    assert out.type == "Linear(9) → Linear(17)"
    (h,) = [node for node in both.model.nodes if node.label == "h"]
    (copies,) = [node for node in both.graphs[h.inside or 0].nodes if node.copies]
    assert copies.type == "Layer × 2 → Layer × 4"
    assert marked(both.graphs[copies.inside or 0]) == {"drop": "added"}


def test_copies_are_split_where_they_are_new_or_frozen() -> None:
    before = BEFORE.replace("repeat: 2", "repeat: 3")
    both = picture(before, BEFORE.replace("repeat: 2", "repeat: 5") + "freeze: ['h.[0-1]']\n")
    (h,) = [node for node in both.model.nodes if node.label == "h"]
    inside = both.graphs[h.inside or 0]
    found = [(node.label, len(node.copies), node.marks, node.change) for node in inside.nodes if node.path]
    assert found == [
        ("0 … 1", 2, ("frozen",), "changed"),
        ("2", 0, (), ""),
        ("3 … 4", 2, (), "added"),
    ]
    ends = [(edge.source, edge.target) for edge in inside.edges if edge.change != "removed"]
    assert sorted(ends) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_what_changed_is_open_at_first() -> None:
    both = picture(BEFORE, AFTER)
    at = [node.label for node in both.model.nodes].index("h")
    assert {(), (at,)} < opened_at_first(both, 0)


def test_the_same_model_has_no_mark() -> None:
    both = picture(
        BEFORE, BEFORE.replace("forward: |\n      return", "# a comment\n    forward: |\n      return")
    )
    assert not any(node.change for node in both.model.nodes)
    assert not any(edge.change for edge in both.model.edges)
