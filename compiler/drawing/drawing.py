"""What a picture of a model is made of: its graphs, its modules and tensors, and what is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from compiler.drawing.folding import folded
from compiler.drawing.graph import Graph
from compiler.drawing.marks import mark
from compiler.drawing.traced import traced
from compiler.infer.infer import Inferred
from compiler.rules.plan import Plan, PlanRow
from spec_schema.selectors import Step


@dataclass(frozen=True, eq=False)
class Drawing:
    """A model as it is drawn. `root` is the number of its own graph; `rows` are its parameters and buffers."""

    title: str
    graphs: tuple[Graph, ...]
    root: int
    rows: tuple[PlanRow, ...]
    modules: tuple[tuple[Step, ...], ...]
    """The paths of all modules, as selectors know them."""
    tensors: Mapping[str, tuple[Step, ...]]
    """The path of each tensor, by each of its names."""
    variables: Mapping[str, int]
    """The whole numbers that an index of a selector may name."""
    compared: bool = False
    """Whether it is a picture of two models."""

    @property
    def model(self) -> Graph:
        return self.graphs[self.root]

    @cached_property
    def shared(self) -> tuple[tuple[str, ...], ...]:
        """The names of each tensor that has several."""
        return tuple(row.names for row in self.rows if len(row.names) > 1)

    @property
    def parameters(self) -> int:
        return sum(row.elements for row in self.rows if row.kind == "parameter")


def draw(inferred: Inferred, plan: Plan, title: str, rows: Sequence[PlanRow] | None = None) -> Drawing:
    """Return what there is to draw of a model. `rows` are those of the plan, with what else was decided of them."""
    root, marked = mark(inferred.root, plan, inferred.dtype)
    graphs = traced(inferred, root, marked)
    tensors = {row.name: row.steps for row in plan.table.tensors}
    for row in plan.rows:
        tensors.update((name, row.steps) for name in row.names if name not in tensors)
    return Drawing(
        title,
        folded(graphs),
        len(graphs) - 1,
        tuple(plan.rows if rows is None else rows),
        tuple(row.steps for row in plan.table.modules),
        tensors,
        {name: value for name, value in inferred.root.values.items() if type(value) is int},
    )
