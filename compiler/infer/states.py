"""What is known of each layer of a model: a tree of frozen states, shared wherever two layers are alike.

Calling a layer takes its state and gives a new one; nothing is changed in place. So equal calls can be
remembered, and a model of 126 equal blocks costs one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor, nn

from compiler.catalogue.layers import LayerType
from compiler.catalogue.operations import follows_mode
from compiler.catalogue.plugins import Registry
from compiler.infer.dtypes import FLOAT, NO_RULES, Dtypes
from compiler.program import (
    BASE,
    Call,
    Definition,
    Item,
    ModuleBody,
    ParallelBody,
    Repeat,
    ResidualBody,
    Sequence,
    SequenceBody,
)
from spec_schema.indices import Place
from spec_schema.selectors import Step
from spec_schema.source import Span

ROWS = (nn.Sequential, nn.ModuleList)
"""Modules of torch whose layers stand in a row."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """A layer of the catalogue. `module` lives on the meta device, and is None until the first call."""

    layer: LayerType
    node: Call
    values: Mapping[str, object]
    """The arguments that the spec writes."""
    inferred: Mapping[str, object] = field(default_factory=dict)
    module: nn.Module | None = None
    nested: Mapping[str, Leaf] = field(default_factory=dict)
    """Arguments that are layers themselves, shaped by the same input."""
    first_call: Span | None = None
    """Where it is called first, and so gets its inferred sizes."""
    dtypes: Dtypes = NO_RULES
    """What rules give to its tensors."""
    dtype: torch.dtype = FLOAT
    """That of its floating-point tensors, which is one."""
    cast: bool = False
    """Whether its constructor takes no dtype, so that it is converted after it was made."""


@dataclass(frozen=True, eq=False)
class Operation:
    """An operation in a layer position, with the arguments that the spec gives."""

    node: Call
    name: str
    positional: tuple[object, ...]
    keywords: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Identity:
    """The missing `else` of a choice."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Layers in a row: a list, or a repeat that has a name of its own."""

    node: Sequence | Repeat
    names: tuple[str, ...]
    states: tuple[State, ...]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each layer in the row, by its name."""
        return {name: at for at, name in enumerate(self.names)}


@dataclass(frozen=True, eq=False)
class BlockState:
    """An instance of a block.

    `values` are its compile-time names: arguments and variables. `children` holds the state of each layer by
    its name in the state dict; `used` names those that a call has reached.
    """

    definition: Definition
    arguments: Mapping[str, object]
    values: Mapping[str, object]
    children: Mapping[str, State]
    order: tuple[tuple[str, Item], ...] = ()
    """The names of the children in the order in which a sequence runs them; a layer may run again."""
    used: frozenset[str] = frozenset()
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: Mapping[str, object] = field(default_factory=dict)
    """The inputs of the first call, from which sizes of parameters may be taken."""
    output: object = None
    called: bool = False
    dtypes: Dtypes = NO_RULES
    """What rules give to its tensors."""

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each layer among the children, by its name."""
        return {name: at for at, name in enumerate(self.children)}

    def __repr__(self) -> str:
        return f"BlockState({self.definition.name}, {dict(self.arguments)})"


State = Leaf | Operation | Identity | Chain | BlockState


def takes_mode(state: Operation, plugins: Registry) -> bool:
    """Return whether an operation in a layer position takes the mode of its module."""
    torch_own = state.name not in plugins.operations
    return torch_own and follows_mode(state.name, 1 + len(state.positional), state.keywords)


def updated_in(state: State) -> frozenset[str]:
    """Return the buffers of a block that its program may give new values."""
    body = state.definition.body if isinstance(state, BlockState) else None
    return body.updated if isinstance(body, ModuleBody) else frozenset()


def part_named(state: State | None, name: str) -> State | None:
    """Return the layer of this name inside a layer, None where its state is not known."""
    if isinstance(state, Chain) and name in state.places:
        return state.states[state.places[name]]
    return state.children.get(name) if isinstance(state, BlockState) else None


def is_item(state: State | None, name: str) -> bool:
    """Return whether a part of a layer is an item of a list: a key of a layer may be a number, too."""
    by_key = isinstance(state, BlockState) and isinstance(state.definition.body, ModuleBody)
    return name.isdigit() and not by_key


def item_place(state: State | None, name: str) -> int:
    """Return the place of a numbered item among the items of its sequence."""
    return state.places[name] if isinstance(state, Chain | BlockState) else int(name)


def used_children(state: BlockState) -> Iterator[tuple[str, State]]:
    """Yield the layers of a block that a call reaches: the others are not made."""
    everything = not isinstance(state.definition.body, ModuleBody) or state.definition.body.program is None
    for name, child in state.children.items():
        if everything or name in state.used:
            yield name, child


def type_name(state: State) -> str:
    """Return the name of the type of a layer, as selectors know it."""
    match state:
        case Leaf():
            return state.layer.name
        case BlockState():
            return state.definition.name
        case Chain():
            return "Sequential"
    return ""


def base_of(state: State) -> Leaf | None:
    """Return the layer that a block extends, if it does."""
    base = state.children.get(BASE) if isinstance(state, BlockState) else None
    return base if isinstance(base, Leaf) else None


def is_node(state: State) -> bool:
    """Return whether it is a model that is one node: its own state has that of the node inside."""
    return isinstance(state, BlockState) and state.definition.is_node


def node_of(state: State) -> State:
    """Return the node that a model is, the state itself where it is none."""
    return state.children[BASE] if isinstance(state, BlockState) and is_node(state) else state


def step_to(name: str, state: State, place: Place | None) -> Step:
    """Return the step to a layer, by its name and its types: a block that extends a layer is of both."""
    base = base_of(state)
    return Step(name, type_name(state), place, base.layer.name if base is not None else "")


def joined(path: str, name: str) -> str:
    """Return the path of a layer inside another one; what a block extends is where the block is."""
    return ".".join(filter(None, (path, name)))


def row_items(state: State) -> int | None:
    """Return how many layers stand in a row in this one: those of a list, of a repeat, or of a list of branches."""
    match state:
        case Chain():
            return len(state.states)
        case BlockState(definition=Definition(body=SequenceBody() | ResidualBody())):
            return len(state.children)
        case BlockState(definition=Definition(body=ParallelBody(branches=branches))):
            return len(branches) if all(branch.name is None for branch in branches) else None
        case Leaf(module=nn.Module() as module):
            return row_length(module)
    return None


def row_length(module: nn.Module) -> int | None:
    """Return how many layers stand in a row in a module of torch."""
    return len(module) if isinstance(module, ROWS) else None


def places(count: int | None) -> Iterator[tuple[int, int] | None]:
    """Yield the place of each layer in a row of so many, or None without end."""
    return iter(repeat(None)) if count is None else ((at, count) for at in range(count))
