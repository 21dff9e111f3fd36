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
from compiler.emit.groups import ClassGroup, class_groups, group_key
from compiler.emit.rules import path
from compiler.infer.cells import Cell
from compiler.infer.combine import combine_values
from compiler.infer.engine import Engine
from compiler.infer.infer import Inferred
from compiler.infer.on_meta import meta_device
from compiler.infer.placed import Owned, Placed, map_tensors, place_of, placed_in, put
from compiler.infer.states import BlockState, Chain, Leaf, Operation, State
from compiler.placement.moves import Follow, Moves, Slot
from compiler.placement.places import Places, places
from compiler.placement.programs import PlacedInterpreter
from compiler.plan import Plan
from compiler.program import Item, ModuleBody, ParallelBody, ResidualBody, SequenceBody
from compiler.resolve.nodes import reuses
from spec_schema.clock import stage
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.evaluate import Budget
from spec_schema.grammar import Expression, Program
from spec_schema.selectors import Step
from spec_schema.source import Span

CPU = "cpu"
SHOWN = 64
"""Tensors of a block that are tried as what a value may follow."""


@stage("placement")
def find_moves(inferred: Inferred, plan: Plan) -> Moves:
    """Return where values move in a model whose tensors are on several devices.

    A block that makes tensors and has none, nor gets any, makes them on the CPU: that is one device too.

    Raises:
        SpecError: an operation would get operands on two devices.
    """
    groups = class_groups(inferred.root)
    devices = {row.device for row in plan.rows} or {AUTO}
    if devices == {CPU} or (len(devices) < 2 and not any(map(_makes_on_the_cpu, groups.values()))):
        return Moves()
    where = places(plan)
    engine = PlacedEngine(inferred.engine.limits, inferred.engine.plugins, inferred.engine.dtype)
    engine.groups = groups
    root = engine.locate(inferred.root, where)
    start = input_device(plan)
    for given, training in product((inferred.inputs, *inferred.other_inputs), inferred.modes):
        inputs = {name: put(tensor, start) for name, tensor in given.items()}
        engine.training = training
        with meta_device(torch.float32):
            cell = PlacedCell(engine, inferred.program.name, root)
            cell.call([], inputs, inferred.program.model.span, "model")
    engine.moves.check()
    return engine.moves


def input_device(plan: Plan) -> str:
    """Return where the inputs of a model are: with its first parameter, or its first buffer if it has none."""
    rows = sorted(plan.rows, key=lambda row: row.kind != "parameter")
    return rows[0].device if rows else AUTO


def _makes_on_the_cpu(group: ClassGroup) -> bool:
    """Say whether a program makes tensors with nothing that says where."""
    body = group.definition.body
    if group.device_source is not None or not isinstance(body, ModuleBody) or body.program is None:
        return False
    calls = [n for s in body.program.body for n in ast.walk(s) if isinstance(n, ast.Call)]
    return any(ast.unparse(call.func) in FACTORIES for call in calls)


class PlacedCell(Cell):
    """A layer that is called with tensors that know their device."""

    engine: PlacedEngine

    def _call_chain(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span) -> Any:
        assert isinstance(self.state, Chain)
        parts = [(cell.name, cell) for cell in self.parts(place)]
        return self.engine.relay(self.state.node, parts, inputs[0], place)

    def member(self, name: str, place: Span) -> Tensor | Cell:
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
class PlacedEngine(Engine):
    """Runs programs over tensors that know their device, and notes where they move."""

    groups: Mapping[Hashable, ClassGroup] = field(default_factory=dict)
    places: dict[State, Places] = field(default_factory=dict)
    """Of each located state."""
    moves: Moves = field(default_factory=Moves)
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
                children = {n: self.locate(each, where.part(n)) for n, each in state.children.items()}
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
        cells: dict[str, Cell] = {n: PlacedCell(self, n, child) for n, child in state.children.items()}
        return self._run_placed(state, bound, cells, place)

    def send(self, slot: Slot, value: Any, target: str, follows: Sequence[Follow], span: Span) -> Any:
        """Note that a value has to be on a device; return it there.

        Raises:
            SpecError: it is a parameter or buffer, which stays where it is.
        """
        kept = next((t for t in placed_in(value) if t.owned is not None and t.place != target), None)
        if kept is not None:
            raise self.stays(kept, target, span)
        self.moves.note(slot, value, target, follows, span)
        return moved(value, target)

    def target(self, state: State, inputs: Any) -> str | None:
        """Return the device on which a layer wants its inputs, None where it takes them as they are."""
        if not isinstance(state, Leaf | Chain):
            return None  # a block moves its inputs itself
        devices = {tensor.place for tensor in placed_in(inputs)}
        home = self.places[state].home
        if home is None and isinstance(state, Leaf) and len(devices) > 1:
            return placed_in(inputs)[0].place
        return home

    def own(self, state: BlockState, device: str) -> list[Follow]:
        """Return the tensors of a block that are on a device, which values may follow."""
        found = []
        for steps, spot in self.places[state].walk():
            if spot.device == device:
                found.append(Follow(True, text_of(state, steps)))
            if len(found) == SHOWN:
                break
        return found

    # Bodies.

    def _run_placed(
        self, state: BlockState, bound: Mapping[str, Any], cells: dict[str, Cell], place: Span
    ) -> Any:
        body = state.definition.body
        first = next(iter(bound.values()), None)
        match body:
            case ModuleBody(program=Program() as program):
                return self.interpreter(program, state, bound, cells).run(program.body)
            case ModuleBody():
                order = [(name, body.layer_spans[name]) for name in cells]
                return self._one_by_one(state, order, first, cells)
            case SequenceBody():
                return self._sequence(state, body.items, first, cells, place)
            case ResidualBody():
                inner = self._sequence(state, body.items, first, cells, place)
                return self._combined(state, [first, inner], place)
            case ParallelBody():
                results = [
                    cell.call([self._to_layer(state, at, cell, first, place)], {}, place, name)
                    for at, (name, cell) in enumerate(cells.items())
                ]
                return self._combined(state, results, place)

    def _sequence(
        self, state: BlockState, items: Sequence[Item], value: Any, cells: dict[str, Cell], place: Span
    ) -> Any:
        """Run a list, which is emitted layer by layer or as a row of layers."""
        if reuses(items) or self.groups[group_key(state)].written_out:
            order = [(name, item.node.span) for name, item in state.order]
            return self._one_by_one(state, order, value, cells)
        return self.relay(state.definition, list(cells.items()), value, place)

    def _one_by_one(
        self, state: BlockState, order: Sequence[tuple[str, Span]], value: Any, cells: Mapping[str, Cell]
    ) -> Any:
        for at, (name, place) in enumerate(order):
            value = cells[name].call([self._to_layer(state, at, cells[name], value, place)], {}, place, name)
        return value

    def _to_layer(self, state: BlockState, at: int, cell: Cell, value: Any, place: Span) -> Any:
        target = self.target(cell.state, value) or place_of(value)
        if target is None:
            return value
        layer = text_of(state, (cell.name,))
        follows = [Follow(True, f"{layer}{suffix}") for suffix in self.suffixes(cell)]
        if self.tells(cell.state):
            follows.append(Follow(True, layer, layer=True))
        return self.send(Slot(group_key(state), "layer", at), value, target, follows, place)

    def tells(self, state: State) -> bool:
        """Say whether the first parameter of a layer, or the lack of any, says where its inputs have to be."""
        match state:
            case Leaf():
                assert state.module is not None
                return any(True for _ in state.module.parameters()) or not any(
                    True for _ in state.module.buffers()
                )
            case Chain():
                return self.places[state].home is not None and all(map(self.tells, state.states))
        return not self.places[state].devices

    def suffixes(self, cell: Cell) -> list[str]:
        """Return how the first tensor of a layer is written behind the layer's name."""
        return [text_of(cell.state, steps)[len("self") :] for steps, _ in self.places[cell.state].walk()][:1]

    def relay(self, row: object, parts: Sequence[tuple[str, Cell]], value: Any, place: Span) -> Any:
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
        cells: Mapping[str, Cell],
    ) -> PlacedInterpreter:
        run = PlacedInterpreter(
            self,
            source,
            {**state.values, **bound},
            cells,
            state.tensors,
            self.limits,
            Budget(self.limits.evaluation_steps),
        )
        run.state = state
        return run

    def key(self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Hashable | None:
        key = super().key(state, inputs, keywords)
        owned = tuple(tensor.owned for tensor in placed_in([*inputs, *keywords.values()]))
        return (key, owned) if key is not None else None

    def stays(self, tensor: Placed, target: str, span: Span) -> SpecError:
        """Return the refusal to move a parameter or buffer."""
        assert tensor.owned is not None
        rule = tensor.owned.rule
        return refuse(
            "device-mix",
            f"`{tensor.owned.name}` is on {tensor.place}, and is needed on {target}",
            span,
            labels=(Label(rule, f"the rule of `{tensor.owned.name}`"),) if rule is not None else (),
            notes=self.trail.notes(),
            help="parameters and buffers stay where they are: place both on one device",
        )

    def mix(self, what: str, tensors: Sequence[Placed], span: Span) -> SpecError:
        """Return the refusal of operands on two devices, with the rules that placed them."""
        first = tensors[0]
        second = next(each for each in tensors if each.place != first.place)
        one, two = _described(first.owned, first.place), _described(second.owned, second.place)
        return refuse(
            "device-mix",
            f"{what} would get {one}, and {two}",
            span,
            labels=tuple(
                Label(each.owned.rule, f"the rule of `{each.owned.name}`")
                for each in (first, second)
                if each.owned is not None and each.owned.rule is not None
            ),
            notes=self.trail.notes(),
            help="parameters and buffers stay where they are: place both on one device",
        )


def _described(owned: Owned | None, place: str) -> str:
    return f"`{owned.name}` on {place}" if owned is not None else f"a value on {place}"


def moved(value: Any, target: str) -> Any:
    """Return a nested value with its tensors on a device."""
    return map_tensors(lambda t: put(t, target) if isinstance(t, Placed) and t.place != target else t, value)


def text_of(state: State, steps: Sequence[str]) -> str:
    """Return the expression that reaches a part of a layer from `self`."""
    return ast.unparse(path(state, [Step(step) for step in steps]))
