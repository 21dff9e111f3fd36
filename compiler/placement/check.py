"""The check of a placement: the model is run once more, over tensors that know their device.

It needs no accelerator. Every operation gets its operands on one device, or is refused; where a value has to move
for that is noted, in every instance of every block. How values move:

* a layer of the catalogue, or a block, that has all its tensors on one device gets its inputs there;
* an operation over values of several devices works where its parameters and buffers are, and where there is none
  among them, where its first operand that has a name is;
* parameters and buffers, and what a program makes of them alone, never move.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from compiler.catalogue.operation_table import FACTORIES
from compiler.devices import AUTO
from compiler.infer.chosen import FIRST
from compiler.infer.combine import combine_values
from compiler.infer.engine import called_by_name
from compiler.infer.infer import Inferred
from compiler.infer.module_references import ModuleReference
from compiler.infer.on_meta import meta_device
from compiler.infer.placed import Placed, map_tensors, place_of, placed_in, put
from compiler.infer.statements import result_of
from compiler.infer.states import BlockState, Chain, Leaf, Operation, State, base_of, is_node, updated_in
from compiler.placement.groups import ClassGroup, class_groups, group_key
from compiler.placement.places import Places, places
from compiler.placement.programs import PlacedInterpreter
from compiler.placement.routes import Router, text_of
from compiler.placement.transfers import Follow, Slot, Transfers, layer_input
from compiler.program import BASE, BASE_CALL, Item, ModuleBody, ParallelBody, ResidualBody, SequenceBody
from compiler.resolve.nodes import reuses
from compiler.rules.plan import Plan
from spec_schema.budget import Budget
from spec_schema.clock import stage
from spec_schema.grammar import Expression, Program
from spec_schema.source import Span
from spec_schema.walk import walk

CPU = "cpu"


@stage("placement")
def find_transfers(inferred: Inferred, plan: Plan) -> Transfers:
    """Return where values move in a model whose tensors are on several devices.

    A block that makes tensors and has none, nor gets any, makes them on the CPU: that is one device too.

    Raises:
        SpecError: an operation would get operands on two devices.
    """
    groups, plan = class_groups(inferred.root), plan.plain
    devices = {row.device for row in plan.rows} or {AUTO}
    if devices == {CPU} or (len(devices) < 2 and not any(map(_makes_on_the_cpu, groups.values()))):
        return Transfers()
    where = places(plan)
    engine = PlacedEngine(inferred.limits, inferred.plugins, inferred.dtype)
    engine.groups = groups
    root = engine.locate(inferred.root, where)
    start = input_device(plan)
    for (given, base), training in product(((inferred.inputs, FIRST), *inferred.others), inferred.modes):
        engine.chosen.begin(base)
        inputs = {name: put(tensor, start) for name, tensor in given.items()}
        engine.training = training
        with meta_device(torch.float32):
            cell = PlacedReference(engine, inferred.program.name, root)
            cell.call([], inputs, inferred.program.model.span, "model")
    engine.moves.check()
    return engine.moves


def input_device(plan: Plan) -> str:
    """Return where the inputs of a model are: with its first parameter, or its first buffer if it has none."""
    rows = sorted(plan.rows, key=lambda row: row.kind != "parameter")
    return rows[0].device if rows else AUTO


def _makes_on_the_cpu(group: ClassGroup) -> bool:
    """Return whether a program makes tensors without anything that gives their device."""
    body = group.definition.body
    if group.device_source is not None or not isinstance(body, ModuleBody) or body.program is None:
        return False
    calls = [n for s in body.program.body for n in walk(s) if isinstance(n, ast.Call)]
    return any(ast.unparse(call.func) in FACTORIES for call in calls)


class PlacedReference(ModuleReference):
    """A layer that is called with tensors that know their device."""

    engine: PlacedEngine

    def _call_chain(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span) -> Any:
        assert isinstance(self.state, Chain)
        parts = [(cell.name, cell) for cell in self.parts(place)]
        return self.engine.relay(self.state.node, parts, inputs[0], place)

    def member(self, name: str, place: Span) -> Tensor | ModuleReference:
        found = super().member(name, place)
        if isinstance(self.state, Leaf) and isinstance(found, Tensor):
            inside = self.engine.places[self.state]
            *outer, last = name.split(".")
            for part in outer:
                inside = inside.part(part)
            spot = inside.tensors[last]
            return put(found, spot.device, spot.owned)
        return found


@dataclass
class PlacedEngine(Router):
    """Runs programs over tensors that know their device, and notes where they move."""

    located: dict[Hashable, State] = field(default_factory=dict)

    # States with devices.

    def locate(self, state: State, where: Places) -> State:
        """Return the state with the devices of its tensors; states that are alike and placed alike become one."""
        key = (state, where.key)
        if key not in self.located:
            made = self._located(state, where)
            self.located[key] = made
            self.places[made] = where
        return self.located[key]

    def _located(self, state: State, where: Places) -> State:
        match state:
            case Chain():
                parts = zip(state.names, state.states, strict=True)
                return replace(
                    state, states=tuple(self.locate(each, where.part(name)) for name, each in parts)
                )
            case BlockState():
                own = {*state.tensors, *state.children}
                extends = BASE in state.children and not state.definition.is_node
                children = {
                    n: self.locate(each, where.without(own) if extends and n == BASE else where.part(n))
                    for n, each in state.children.items()
                }
                tensors: dict[str, Tensor] = {}
                for name, tensor in state.tensors.items():
                    spot = where.tensors[name]
                    tensors[name] = put(tensor, spot.device, spot.owned)
                return replace(state, children=children, tensors=tensors)
        return replace(state)

    # Calls.

    def _step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        if isinstance(state, BlockState):
            return state, self._enter(state, inputs, keywords, place)
        _, output = super()._step(state, inputs, keywords, place, where)
        if not isinstance(state, Leaf | Operation):
            return state, output
        given = placed_in([*inputs, *keywords.values()])
        if isinstance(state, Operation) and len({each.place for each in given}) > 1:
            raise self.mix(f"`{state.name}`", given, state.node.span)
        device = self.places[state].home or (given[0].place if given else CPU)
        return state, map_tensors(lambda tensor: put(tensor, device), output)

    def _enter(
        self, state: BlockState, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> Any:
        """Call a block: if all its tensors are on one device, its inputs move there."""
        bound = self._bind_inputs(state.definition, state, inputs, keywords, place)
        home = self.places[state].home
        if home is not None:
            follows = self.own(state, home)
            for entry in state.definition.inputs:
                slot = Slot(group_key(state), "input", entry.name)
                bound[entry.name] = self.send(slot, bound[entry.name], home, follows, place)
        cells: dict[str, ModuleReference] = {
            n: PlacedReference(self, n or BASE_CALL, child) for n, child in state.children.items()
        }
        return self._run_placed(state, bound, cells, place)

    # Bodies.

    def _run_placed(
        self, state: BlockState, bound: Mapping[str, Any], cells: dict[str, ModuleReference], place: Span
    ) -> Any:
        body = state.definition.body
        given = list(bound.values())
        first = next(iter(given), None)
        match body:
            case ModuleBody(program=Program() as program):
                return result_of(program, self.interpreter(program, state, bound, cells))
            case ModuleBody():
                order = [(name, body.layer_spans[name]) for name in cells]
                return self._one_by_one(state, order, given, cells)
            case SequenceBody():
                return self._sequence(state, body.items, given, cells, place)
            case ResidualBody():
                inner = self._sequence(state, body.items, given, cells, place)
                return self._combined(state, [first, inner], place)
            case ParallelBody():
                results = [
                    cell.call([self._to_layer(state, at, cell, first, place)], {}, place, name)
                    for at, (name, cell) in enumerate(cells.items())
                ]
                return self._combined(state, results, place)

    def _sequence(
        self,
        state: BlockState,
        items: Sequence[Item],
        given: list[Any],
        cells: dict[str, ModuleReference],
        place: Span,
    ) -> Any:
        """Run a list, which is emitted layer by layer or as a row of layers."""
        if reuses(items) or len(given) > 1 or self.groups[group_key(state)].written_out:
            order = [(name, item.node.span) for name, item in state.order]
            return self._one_by_one(state, order, given, cells)
        return self.relay(state.definition, list(cells.items()), given[0], place)

    def _one_by_one(
        self,
        state: BlockState,
        order: Sequence[tuple[str, Span]],
        given: list[Any],
        cells: Mapping[str, ModuleReference],
    ) -> Any:
        for at, (name, place) in enumerate(order):
            sent = [
                self._to_layer(state, layer_input(at, number), cells[name], value, place)
                for number, value in enumerate(given)
            ]
            given = [cells[name].call(sent, {}, place, name)]
        return given[0]

    def _to_layer(
        self, state: BlockState, at: Hashable, cell: ModuleReference, value: Any, place: Span
    ) -> Any:
        target = self.target(cell.state, value) or place_of(value)
        if target is None:
            return value
        is_self = cell.state is base_of(state) or is_node(state)
        layer = "self" if is_self else text_of(state, (cell.name,))
        follows = [Follow(True, f"{layer}{suffix}") for suffix in self.suffixes(cell)]
        if self.tells(cell.state):
            follows.append(Follow(True, layer, layer=True))
        return self.send(Slot(group_key(state), "layer", at), value, target, follows, place)

    def relay(
        self, row: object, parts: Sequence[tuple[str, ModuleReference]], value: Any, place: Span
    ) -> Any:
        """Run layers in a row; `row` is the node or the block that they are written in."""
        for at, (name, cell) in enumerate(parts):
            there = self.place_of(cell.state) or place
            target = self.target(cell.state, value)
            found = placed_in(value)
            if target is not None and any(tensor.place != target for tensor in found):
                if not isinstance(value, Placed):
                    raise self.mix(f"`{name}`", found, there)
                self.moves.relays.setdefault(row, set()).add(at)
                self.moves.routes[there, value.place, target] = None
                value = put(value, target)
            value = cell.call([value], {}, there, name)
        return value

    def _combined(self, state: BlockState, values: list[Any], place: Span) -> Any:
        body = state.definition.body
        assert isinstance(body, ResidualBody | ParallelBody)
        found = placed_in(values)
        if not found:
            return combine_values(self, body.combine, values, state, place)
        device, key = found[0].place, group_key(state)
        names = [entry.name for entry in state.definition.inputs] if isinstance(body, ResidualBody) else []
        follows = [*(Follow(False, name) for name in names), *self.own(state, device)]
        values = [
            self.send(Slot(key, "result", at), value, device, follows, place)
            for at, value in enumerate(values)
        ]
        output = combine_values(self, body.combine, values, state, place)
        return map_tensors(lambda tensor: put(tensor, device), output)

    # Programs.

    def interpreter(
        self,
        source: Program | Expression,
        state: BlockState,
        bound: Mapping[str, Any],
        cells: Mapping[str, ModuleReference],
    ) -> PlacedInterpreter:
        run = PlacedInterpreter(
            self,
            source,
            {**state.values, **bound},
            called_by_name(state, cells),
            state.tensors,
            self.limits,
            Budget(self.limits.evaluation_steps),
        )
        run.state, run.updated = state, updated_in(state)
        return run
