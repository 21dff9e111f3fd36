"""What rules decide about the tensors of each module: where these differ, modules are no longer alike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from compiler.infer.states import BlockState, Chain, State, is_node
from compiler.program import BASE
from compiler.rules.plan import Plan, PlanRow


@dataclass(frozen=True)
class Marked:
    """The marks of each state, and how many parameters it has."""

    marks: Mapping[State, tuple[str, ...]]
    parameters: Mapping[State, int]


@dataclass(eq=False)
class Decided:
    """What is decided about the tensors of a module: its own, and those of the modules in it."""

    tensors: dict[str, PlanRow] = field(default_factory=dict)
    parts: dict[str, Decided] = field(default_factory=dict)

    @cached_property
    def rows(self) -> tuple[PlanRow, ...]:
        """All tensors in it, those that have several names once."""
        inside = [row for part in self.parts.values() for row in part.rows]
        return tuple(dict.fromkeys([*self.tensors.values(), *inside]))

    def part(self, name: str) -> Decided:
        return self.parts.get(name) or Decided()


def decided(plan: Plan) -> Decided:
    """Return the decisions of a plan as a tree."""
    root = Decided()
    for row in plan.rows:
        for name in row.names:
            *path, last = name.split(".")
            at = root
            for part in path:
                at = at.parts.setdefault(part, Decided())
            at.tensors[last] = row
    return root


def marks_of(rows: tuple[PlanRow, ...], usual: torch.dtype, several: bool) -> tuple[str, ...]:
    """Return what is said of tensors: that they are frozen, where they are, and of what dtype."""
    found = []
    parameters = [row for row in rows if row.kind == "parameter"]
    frozen = [row for row in parameters if not row.trainable]
    if frozen:
        found.append("frozen" if len(frozen) == len(parameters) else "partly frozen")
    places = dict.fromkeys(row.device for row in rows if row.device != "auto")
    if places and (several or places.keys() != {"auto"}):
        found.append(", ".join(places))
    dtypes = dict.fromkeys(row.dtype for row in rows if row.dtype.is_floating_point and row.dtype != usual)
    found.extend(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return tuple(found)


@dataclass(eq=False)
class Marker:
    """Makes states of their own of those that are alike, and about which something else is decided."""

    usual: torch.dtype
    several: bool
    known: dict[Hashable, State] = field(default_factory=dict)
    keys: dict[Decided, Hashable] = field(default_factory=dict)
    marks: dict[State, tuple[str, ...]] = field(default_factory=dict)
    parameters: dict[State, int] = field(default_factory=dict)

    def key(self, where: Decided) -> Hashable:
        """Return what is the same for modules about which the same is decided."""
        if where not in self.keys:
            own = tuple((name, row.trainable, row.device) for name, row in where.tensors.items())
            self.keys[where] = own, tuple((name, self.key(part)) for name, part in where.parts.items())
        return self.keys[where]

    def state(self, state: State, where: Decided) -> State:
        """Return a state with the marks of what it has."""
        key = (state, self.key(where))
        if key not in self.known:
            made = self._made(state, where)
            self.known[key] = made
            self.marks[made] = marks_of(where.rows, self.usual, self.several)
            self.parameters[made] = sum(row.elements for row in where.rows if row.kind == "parameter")
        return self.known[key]

    def _made(self, state: State, where: Decided) -> State:
        match state:
            case Chain():
                parts = zip(state.names, state.states, strict=True)
                return replace(
                    state, states=tuple(self.state(each, where.part(name)) for name, each in parts)
                )
            case BlockState():
                return replace(state, children=self._children(state, where), tensors=_own(state.tensors))
        return replace(state)

    def _children(self, state: BlockState, where: Decided) -> dict[str, State]:
        at_base = where if is_node(state) else Decided(where.tensors)
        return {
            name: self.state(child, at_base if name == BASE else where.part(name))
            for name, child in state.children.items()
        }


def _own(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return dict(tensors)


def mark(root: State, plan: Plan, usual: torch.dtype) -> tuple[State, Marked]:
    """Return the states of a model, and what is to be said of each."""
    marker = Marker(usual, len({row.device for row in plan.rows}) > 1)
    made = marker.state(root, decided(plan))
    return made, Marked(marker.marks, marker.parameters)
