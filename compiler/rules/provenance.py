"""Where a size comes from: from a dimension of a tensor back to the argument, the call and the variable that set it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from torch import Tensor

from compiler.infer.build import Bound, Builder, ListEntry
from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState, Chain, Leaf, State, base_of
from compiler.infer.values import freeze, show
from compiler.program import (
    BASE,
    Argument,
    Call,
    Choice,
    Item,
    LayerNode,
    ModuleBody,
    ParallelBody,
    Repeat,
    Reuse,
    Splice,
    ValueTree,
)
from compiler.resolve.calls import stands_for
from compiler.resolve.captures import node_names
from compiler.resolve.values import free_names, place_of, text_of
from compiler.rules.dtype import own_dtype
from compiler.rules.plan import Initialisation, PlanRow
from compiler.rules.size_causes import causes
from compiler.rules.table import TensorRow
from spec_schema.selectors import Step
from spec_schema.source import Span

Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Origin:
    """One line that a value comes from. `place` is None for what torch decides."""

    text: str
    place: Span | None

    def where(self) -> str:
        """Return `file:line`."""
        return self.place.where if self.place else "default"


@dataclass(frozen=True)
class Size:
    """One dimension of a tensor: its size, and where that comes from, the nearest line first."""

    value: int
    origins: tuple[Origin, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """A block instance on the way to a tensor, the call that made it, and the point of that call.

    `call` is None for the model, and for what is written in place.
    """

    state: BlockState
    call: Call | None = None
    point: Point | None = None

    def origins(self, name: str) -> Iterator[Origin]:
        """Yield the lines that gave a compile-time name of this block its value."""
        definition = self.state.definition
        if any(parameter.name == name for parameter in definition.parameters):
            yield from self._argument(name)
        elif name in definition.variables:
            written = definition.variables[name]
            yield Origin(f"{name} = {text_of(written)}", place_of(written))
            yield from Point(self).trace(written)
        elif name in definition.scope.variables:
            value = definition.scope.variables[name]
            yield Origin(f"{name} = {show(value)}", definition.scope.variable_spans[name])

    def _argument(self, name: str) -> Iterator[Origin]:
        if self.call is None or self.point is None:  # written in place: a name of the block around it
            yield from self.point.origins(name) if self.point else ()
            return
        if self.call.kind == "recipe":
            value = show(self.state.arguments[name])
            yield Origin(f"{name} of {self.state.definition.name} = {value}", self.call.span)
            return
        parameters = self.state.definition.parameters
        argument = find_argument(self.call, [each.name for each in parameters], name)
        if argument is None:
            default = next(each for each in parameters if each.name == name)
            yield Origin(
                f"{name} of {self.state.definition.name} = {default.default}, the default", default.span
            )
            return
        yield Origin(f"{name} of {self.state.definition.name} = {text_of(argument.value)}", argument.span)
        yield from self.point.trace(argument.value)


@dataclass(frozen=True, eq=False)
class Point:
    """A place in a block, with the names that repeats around it bind: the value of each, and the repeat."""

    frame: Frame
    bound: Mapping[str, tuple[object, Repeat]] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, object]:
        return {**self.frame.state.values, **{name: value for name, (value, _) in self.bound.items()}}

    def origins(self, name: str) -> Iterator[Origin]:
        """Yield the lines that gave a name its value, as seen from here."""
        if name in self.bound:
            value, repeat = self.bound[name]
            running = next((each for each in repeat.running if each.name == name), None)
            source = repeat.over if running is None else (running.first, running.after)
            yield Origin(f"{name} = {show(value)}", place_of(source) or repeat.span)
            for each in sorted(free_names(source) - {each.name for each in repeat.running}):
                yield from self.origins(each)
        else:
            yield from self.frame.origins(name)

    def trace(self, value: ValueTree) -> Iterator[Origin]:
        """Yield the lines that gave each name of an expression its value."""
        for name in sorted(free_names(value)):
            yield from self.origins(name)


def _of_stand_in(call: Call, value: ValueTree, point: Point) -> Iterator[Origin]:
    """Yield the lines that gave a value of the layer that a block is, over the arguments of the block's call."""
    names = [parameter.name for parameter in call.scope.blocks[call.target].parameters]
    for name in sorted(free_names(value) & {*names}):
        argument = find_argument(call, names, name)
        if argument is not None:
            yield Origin(f"{name} of {call.target} = {text_of(argument.value)}", argument.span)
            yield from point.trace(argument.value)


Found = tuple[State, LayerNode, Point]
"""A layer, how it is written, and the point at which what is inside it is."""


@dataclass(frozen=True, eq=False)
class Provenance:
    """Answers where sizes and names of one model come from."""

    inferred: Inferred
    known: dict[Steps, Found | None] = field(default_factory=dict)
    """What is at the end of a path."""
    rows: dict[Steps, Mapping[str, ListEntry]] = field(default_factory=dict)
    """The layers of a list, by the path of the list."""
    branches: dict[ParallelBody, Mapping[str, Item]] = field(default_factory=dict)
    alike: dict[Hashable, Point] = field(default_factory=dict)
    """Points from which all that is inside looks the same: in a thousand equal blocks it is looked at once."""
    traced: dict[Hashable, tuple[Size, ...]] = field(default_factory=dict)
    """The sizes of a tensor, by what they depend on."""

    @cached_property
    def builder(self) -> Builder:
        return Builder(self.inferred.limits)

    @cached_property
    def start(self) -> Point:
        """The point of the model."""
        return Point(Frame(self.inferred.root))

    def stored_sizes(self, row: PlanRow) -> tuple[Size, ...]:
        """Return the sizes of a tensor that the model stores, each with the lines that it comes from."""
        found = row.stands_for
        if found is None or not found.stored.is_own:
            return self.sizes(row.source)
        origin = Origin(f"as {found.by.type.name} makes it", found.by.rule.value.place)
        return tuple(Size(size, (origin,)) for size in row.shape)

    def sizes(self, row: TensorRow) -> tuple[Size, ...]:
        """Return the sizes of a tensor, each with the lines that it comes from."""
        point, call = self.descend(row.steps)
        key = row.owner, row.entry, id(row.tensor), row.torch_steps, point, call
        if key not in self.traced:
            self.traced[key] = self._sizes(row, point, call)
        return self.traced[key]

    def _sizes(self, row: TensorRow, point: Point, call: Call | None) -> tuple[Size, ...]:
        shape = [int(size) for size in row.tensor.shape]
        if isinstance(row.owner, BlockState):
            return tuple(Size(size, tuple(_of_entry(row, at, point))) for at, size in enumerate(shape))
        found = causes(row.owner, tuple(step[0] for step in row.torch_steps[1:]))
        found = found if _is_of_size(row) else {}
        return tuple(
            Size(size, tuple(self._of_layer(row.owner, found.get(at, ()), point, call)))
            for at, size in enumerate(shape)
        )

    def _of_layer(
        self, leaf: Leaf, causes: tuple[str, ...], point: Point, call: Call | None
    ) -> Iterator[Origin]:
        if not causes:
            yield Origin(f"as {leaf.layer.name} makes it", leaf.node.span)
        for name in causes:
            if name in leaf.inferred:
                yield Origin(f"{name}, inferred", leaf.first_call)
                continue
            argument = find_argument(leaf.node, list(leaf.values), name)
            if argument is None:
                yield Origin(f"{name} = {show(leaf.values[name])}", leaf.node.span)
                continue
            yield Origin(f"{name} = {text_of(argument.value)}", argument.span)
            if call is leaf.node:  # else it is an argument of the block, written elsewhere
                yield from point.trace(argument.value)
            elif call is not None and stands_for(call) is leaf.node:
                yield from _of_stand_in(call, argument.value, point)

    def names(self, initialisation: Initialisation) -> tuple[Origin, ...]:
        """Return the lines that the names of an initialiser come from; the layer's own names have none."""
        if not initialisation.names:
            return ()
        point, _ = self.descend(initialisation.scope)
        return tuple(origin for name in sorted(initialisation.names) for origin in point.origins(name))

    def dtype(self, row: TensorRow) -> Origin:
        """Return the line that decides the dtype of a tensor."""
        name = str(row.tensor.dtype).removeprefix("torch.")
        if row.entry is not None and row.entry.type is not None and row.entry.type.dtype != "float":
            return Origin(name, row.entry.type.span)
        if row.entry is not None and row.entry.type is None:
            return Origin(f"{name}, as its value has it", row.entry.span)
        if isinstance(row.owner, Leaf) and own_dtype(row) is not None:
            return Origin(f"{name}, as {row.owner.layer.name} makes it", row.owner.node.span)
        rule = self.inferred.root.dtypes.inside(row.steps).rule
        return Origin(name, rule.dtype_span if rule is not None else None)

    # The way from the model to a tensor.

    def descend(self, steps: Steps) -> tuple[Point, Call | None]:
        """Return the point at which the owner of a path is written, and the call that it is written as."""
        state: State = self.inferred.root
        point, node = self.start, None
        at: Steps = ()
        for number in range(len(steps)):
            found = self._inside(state, steps[: number + 1], point)
            if found is None:
                break
            state, node, point = found
            at = steps[: number + 1]
        if isinstance(state, BlockState) and base_of(state) is not None:
            found = self._child(state, BASE, point, at)
            node = found[1] if found is not None else node
        return point, node if isinstance(node, Call) else None

    def _inside(self, state: State, steps: Steps, point: Point) -> Found | None:
        """Return what is one step inside of a layer, at the end of `steps`: the same each time."""
        if steps not in self.known:
            self.known[steps] = self._step(state, steps, point)
        return self.known[steps]

    def _step(self, state: State, steps: Steps, point: Point) -> Found | None:
        around, name = steps[:-1], steps[-1].name
        if isinstance(state, BlockState):
            found = self._child(state, name, point, around)
        else:
            found = self._part(state, name, point, around) if isinstance(state, Chain) else None
        if found is None:
            return None
        inner, node, point = found
        if not isinstance(inner, BlockState):
            return found
        key = inner, node, point
        if key not in self.alike:
            self.alike[key] = Point(Frame(inner, node if isinstance(node, Call) else None, point))
        return inner, node, self.alike[key]

    def _child(self, state: BlockState, name: str, point: Point, at: Steps) -> Found | None:
        if name not in state.children:  # a tensor of the block itself
            return None
        body = state.definition.body
        if isinstance(body, ModuleBody):
            return self._unwrap(state.children[name], body.layers[name], point)
        if isinstance(body, ParallelBody):
            if body not in self.branches:
                self.branches[body] = {each.name or str(at): each for at, each in enumerate(body.branches)}
            return self._unwrap(state.children[name], self.branches[body][name].node, point)
        return self._listed(state.children[name], name, body.items, point, at)

    def _part(self, state: Chain, name: str, point: Point, at: Steps) -> Found:
        child = state.states[state.places[name]]
        node = state.node
        items = [Item(None, node, node.span)] if isinstance(node, Repeat) else node.items
        return self._listed(child, name, items, point, at)

    def _listed(self, child: State, name: str, items: Iterable[Item], point: Point, at: Steps) -> Found:
        if at not in self.rows:
            entries = [e for e in self.builder.places(items, point.values) if not isinstance(e.node, Reuse)]
            self.rows[at] = {each.name: each for each in reversed(entries)}
        place = self.rows[at][name]
        return self._unwrap(child, place.node, self._inner_point(point, place))

    def _inner_point(self, point: Point, place: ListEntry) -> Point:
        """Return the point of a layer in a list, with those names alone that it reads."""
        bound = _read({**point.bound, **place.bound}, place.node)
        try:
            values = tuple((name, freeze(value), repeat) for name, (value, repeat) in bound.items())
        except TypeError:  # a layer, which is like no other
            return Point(point.frame, bound)
        return self.alike.setdefault((point.frame, values), Point(point.frame, bound))

    def _unwrap(self, child: State, node: LayerNode, point: Point) -> Found:
        while isinstance(node, Choice):
            chosen = node.then if self.builder.decide(node, point.values) else node.otherwise
            assert chosen is not None  # the identity holds no tensors
            assert not isinstance(chosen, Splice)  # places are no splices
            node = chosen
        return child, node, point


def _read(bound: Bound, node: LayerNode) -> Bound:
    """Return the names that a node reads, and those that the repeats which bind these read."""
    found: dict[str, tuple[object, Repeat]] = {}
    names: Set[str] = _names_of(node)
    while names := {name for name in names if name in bound and name not in found}:
        found |= {name: bound[name] for name in names}
        names = frozenset().union(*(_read_by(bound[name][1]) for name in names))
    return {name: each for name, each in bound.items() if name in found}


@lru_cache(maxsize=4096)
def _names_of(node: LayerNode) -> frozenset[str]:
    return frozenset(node_names(node))


@lru_cache(maxsize=4096)
def _read_by(repeat: Repeat) -> frozenset[str]:
    """Return the names that a repeat reads to bind its own."""
    running = [free_names(part) for each in repeat.running for part in (each.first, each.after)]
    return frozenset().union(free_names(repeat.over), *running)


def _of_entry(row: TensorRow, at: int, point: Point) -> Iterator[Origin]:
    """Yield the lines that a dimension of a block's own tensor comes from."""
    entry = row.entry
    assert entry is not None
    if entry.type is None:
        yield Origin("as its value has it", entry.span)
        return
    dimension = entry.type.dimensions[at]
    yield Origin(str(dimension), dimension.place)
    yield from point.trace(dimension)


def find_argument(call: Call, names: list[str], wanted: str) -> Argument | None:
    """Return the argument of a call for a name; `names` are those that positional ones fill, in order."""
    position = 0
    for argument in call.arguments:
        name = argument.name
        if name is None:
            name = names[position] if position < len(names) else None
            position += 1
        if name == wanted:
            return argument
    return None


def _is_of_size(row: TensorRow) -> bool:
    """Return whether a tensor has the sizes of the parameter of its layer, which it may be stored for."""
    own = getattr(row.module, row.torch_steps[-1].name, None)
    return not isinstance(own, Tensor) or own.shape == row.tensor.shape
