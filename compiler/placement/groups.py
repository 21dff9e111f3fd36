"""The classes of a model: one for each block definition, with all of its instances."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

from torch import Tensor

from compiler.infer.states import BlockState, Chain, State, used_children
from compiler.infer.values import form_of, holds_recipe
from compiler.program import Definition, ModuleBody, Repeat, ResidualBody, SequenceBody
from compiler.resolve.calls import nodes_of, repeats_in
from compiler.resolve.nodes import reuses
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.names import unused
from spec_schema.source import Span

SHORT = 8
"""Layers of a list that a `forward` calls one by one, if it must."""


@dataclass(eq=False)
class ClassGroup:
    """One class to emit: a definition with the instances that share it.

    Instances whose recipes differ (a block that takes blocks as arguments) are of different classes.
    """

    definition: Definition
    states: list[BlockState]
    name: str = ""
    extras: dict[str, dict[BlockState, object]] = field(default_factory=dict)
    """Sizes that no argument tells: keyword arguments of the constructor, with their value in each instance."""
    variables: dict[str, str] = field(default_factory=dict)
    """The variables of the spec that the class needs, each with the name of the argument that brings it."""

    @cached_property
    def device_source(self) -> str | None:
        """The input, or else the tensor of the block, whose device new tensors of its program get."""
        for entry in self.definition.inputs:
            if all(isinstance(state.inputs.get(entry.name), Tensor) for state in self.states if state.called):
                return entry.name
        body = self.definition.body
        return next(iter(body.tensors), None) if isinstance(body, ModuleBody) else None

    @cached_property
    def repeats(self) -> list[Repeat]:
        """The repeats of the block that stand in no other."""
        return list(repeats_in(nodes_of(self.definition)))

    @cached_property
    def written_out(self) -> bool:
        """Whether a list with moves in it is written layer by layer: one that is short, and alike in all instances."""
        orders = {tuple(name for name, _ in state.order) for state in self.states}
        return len(orders) == 1 and len(orders.pop()) <= SHORT

    def extra(self, wanted: str, values: dict[BlockState, object], taken: set[str]) -> str:
        """Return the name of an extra argument with these values, added if there is none yet.

        A position that only some instances have fits every argument that agrees in those.
        """
        for name, known in self.extras.items():
            if all(known.get(state, value) == value for state, value in values.items()):
                known.update(values)
                return name
        name = unused(wanted, taken | self.extras.keys())
        self.extras[name] = values
        return name


ClassKey = tuple[Definition, Hashable, Hashable]
"""Its definition, the recipes that it is given, and the lists in it that are written out."""


def group_key(state: BlockState) -> ClassKey:
    """Return the key of the class of an instance.

    A list that runs a layer again, or hands several inputs on, is written out layer by layer, so that one of another
    length is another class, and so is what has one of another length inside.
    """
    recipes = tuple((k, form_of(v)) for k, v in state.arguments.items() if holds_recipe(v))
    return (state.definition, recipes, _written_out(state))


NOTHING: Hashable = ((), frozenset())
_lists: WeakKeyDictionary[BlockState, Hashable] = WeakKeyDictionary()


def _written_out(state: BlockState) -> Hashable:
    """Return the items of the lists in a block that run a layer again, those of blocks inside among them."""
    if state not in _lists:
        body = state.definition.body
        again = isinstance(body, SequenceBody | ResidualBody) and (
            reuses(body.items) or len(state.definition.inputs) > 1
        )
        own = tuple(name for name, _ in state.order) if again else ()
        inside = {(each.definition, _written_out(each)) for each in _blocks_below(state)}
        _lists[state] = own, frozenset(pair for pair in inside if pair[1] != NOTHING)
    return _lists[state]


def class_groups(*roots: BlockState) -> dict[Hashable, ClassGroup]:
    """Return the classes of one model that was inferred several times, each after those that it uses."""
    groups: dict[Hashable, ClassGroup] = {}
    for state in (state for root in roots for state in instances(root)):
        groups.setdefault(group_key(state), ClassGroup(state.definition, [])).states.append(state)
    order: dict[Hashable, ClassGroup] = {}
    for root in roots:
        _visit(group_key(root), groups, order)
    return order


def has_recursion(groups: dict[Hashable, ClassGroup]) -> bool:
    """Return whether a class makes instances of itself, or of one that comes after it."""
    places = {key: at for at, key in enumerate(groups)}
    return any(
        places[group_key(child)] >= places[key]
        for key, group in groups.items()
        for state in group.states
        for child in _blocks_below(state)
    )


def instances(root: BlockState) -> Iterator[BlockState]:
    """Yield each distinct block instance of a model once."""
    return _walk(root, set())


def _visit(
    key: Hashable,
    groups: dict[Hashable, ClassGroup],
    order: dict[Hashable, ClassGroup],
    around: frozenset[Hashable] = frozenset(),
) -> None:
    """Put a class into the order behind those that it uses, but for those that use it again."""
    if key in order or key in around:
        return
    for state in groups[key].states:
        for child in _blocks_below(state):
            _visit(group_key(child), groups, order, around | {key})
    order[key] = groups[key]


def _walk(state: BlockState, seen: set[BlockState]) -> Iterator[BlockState]:
    """Yield each distinct instance once."""
    if state in seen:
        return
    seen.add(state)
    yield state
    for child in _blocks_below(state):
        yield from _walk(child, seen)


def _blocks_below(state: BlockState) -> Iterator[BlockState]:
    for _, child in used_children(state):
        yield from _blocks_in(child)


def _blocks_in(state: State) -> Iterator[BlockState]:
    if isinstance(state, BlockState):
        yield state
    elif isinstance(state, Chain):
        for child in state.states:
            yield from _blocks_in(child)


def several_classes(place: Span, of_arguments: bool = True) -> SpecError:
    """Return the refusal of copies that one loop cannot make: their arguments are other blocks, or lists in them."""
    return refuse(
        "several-classes",
        "the copies of this block have different blocks as arguments"
        if of_arguments
        else "the copies of this block differ in the length of a list that runs a layer again",
        place,
        help="choose between nodes: `of: {if: index == 0, then: ..., else: ...}`, or write one for each of them",
    )
