"""The engine of inference: one step is one call of one layer, remembered by state and inputs."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from compiler.catalogue.operation_table import TRAINING
from compiler.catalogue.operations import follows_mode
from compiler.catalogue.plugins import Registry
from compiler.infer.arguments import evaluate_value
from compiler.infer.build import Builder
from compiler.infer.call_kinds import CallKinds
from compiler.infer.calls import TORCH_ERRORS, check_arguments, operation_named
from compiler.infer.cells import Cell
from compiler.infer.combine import combine_values
from compiler.infer.conditions import Conditions, difference
from compiler.infer.interpreter import Interpreter
from compiler.infer.leaves import Leaves
from compiler.infer.own_tensors import OwnTensors
from compiler.infer.reasons import refusal
from compiler.infer.states import BlockState, Chain, Identity, Leaf, Operation, State
from compiler.infer.symbols import shape_text
from compiler.infer.trail import Trail
from compiler.infer.values import freeze, tensors_in
from compiler.infer.watched import call_watched
from compiler.program import (
    Definition,
    ModuleBody,
    ParallelBody,
    ResidualBody,
    SequenceBody,
)
from spec_schema.clock import check_time
from spec_schema.diagnostics import Label, refuse
from spec_schema.evaluate import Budget
from spec_schema.grammar import Expression, Program
from spec_schema.limits import Limits
from spec_schema.source import Span


@dataclass
class Engine:
    """Runs programs over meta tensors.

    `dtype` is that of the model's own floating-point tensors. What a program makes without a dtype has torch's
    default, in a real run as here.
    """

    limits: Limits
    plugins: Registry
    dtype: torch.dtype = torch.float32
    training: bool = False
    asked_mode: bool = False
    """Whether anything that ran has asked for the mode."""
    builder: Builder = field(init=False)
    leaves: Leaves = field(init=False)
    own_tensors: OwnTensors = field(init=False)
    steps: dict[Hashable, tuple[State, Any]] = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    conditions: Conditions = field(default_factory=Conditions)
    """What numbers decided in the run at hand."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """The open dimensions that are not of their example size in the run at hand."""
    call_kinds: CallKinds = field(default_factory=CallKinds)

    def __post_init__(self) -> None:
        self.builder = Builder(self.limits)
        self.leaves = Leaves(self)
        self.own_tensors = OwnTensors(self)

    def begin(self, examples: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
        """Begin a run at some sizes of the open dimensions."""
        self.conditions = Conditions()
        self.changed = {name: size for name, size in sizes.items() if size is not examples[name]}

    def note_condition(self, node: ast.AST, truth: bool, operands: Sequence[object]) -> None:
        """Note a condition that numbers decide."""
        path = tuple(frame.name for frame in self.trail.frames)
        self.conditions.note(path, node, truth, difference(operands))

    # Steps.

    def step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        """Call a layer: return its state after the call, and its output."""
        key = self.key(state, inputs, keywords)
        if key is not None and key in self.steps:
            return self.steps[key]
        check_time(place, self.trail.notes)
        result = self._step(state, inputs, keywords, place, where)
        if key is not None:
            self.steps[key] = result
        return result

    def key(self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Hashable | None:
        """Return the key of a call, under which its outcome is remembered; None if an input is a layer."""
        try:
            return (state, self.training, freeze(list(inputs)), freeze(dict(keywords)))
        except TypeError:
            return None

    def _step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        match state:
            case Leaf():
                return self.leaves.call(state, inputs, keywords, place, where)
            case BlockState():
                return self._call_block(state, inputs, keywords, place)
            case Operation():
                return state, self._call_operation(state, inputs, keywords, place)
            case Identity():
                return state, inputs[0]
        raise AssertionError(state)

    # Operations in layer positions.

    def _call_operation(
        self, state: Operation, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> Any:
        if len(inputs) != 1 or keywords:
            raise refuse("input-count", f"`{state.name}` takes the value that flows, one input", place)
        arguments, keywords = [*inputs, *state.positional], dict(state.keywords)
        if self.follows_mode(state):
            self.asked_mode, keywords[TRAINING] = True, self.training
        if state.name not in self.plugins.operations:
            check_arguments(state.node.span, state.name, arguments, keywords)
        try:
            function = operation_named(state.name, self.plugins.operations)
            return call_watched(state.node.span, self.trail.notes, function, arguments, keywords)
        except TORCH_ERRORS as error:
            shapes = ", ".join(shape_text(tensor) for tensor in tensors_in(list(inputs)))
            raise refuse(
                "operation-failed",
                refusal(f"`{state.name}`", error, inputs),
                state.node.span,
                label=f"gets {shapes}",
                notes=self.trail.notes(),
            ) from None

    def follows_mode(self, state: Operation) -> bool:
        """Say whether an operation in a layer position takes the mode of its module."""
        torch_own = state.name not in self.plugins.operations
        return torch_own and follows_mode(state.name, 1 + len(state.positional), state.keywords)

    # Blocks.

    def _call_block(
        self, state: BlockState, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> tuple[State, Any]:
        if len(self.trail.frames) > self.limits.block_depth * 2:
            raise refuse("block-depth", f"blocks are nested more than {self.limits.block_depth} deep", place)
        bound = self._bind_inputs(state.definition, state, inputs, keywords, place)
        tensors = self.own_tensors.shape(state, bound)
        state = replace(state, tensors=tensors, inputs=state.inputs or bound)
        cells = {name: Cell(self, name, child) for name, child in state.children.items()}
        output, reached = self._run_body(state, bound, cells, place)
        children = {name: cell.freeze() for name, cell in cells.items()}
        after = replace(
            state,
            children=children,
            used=state.used | reached,
            called=True,
            output=output if not state.called else state.output,
        )
        return self._canonical(state, after), output

    def _canonical(self, before: BlockState, after: BlockState) -> BlockState:
        """Return one state for all that are alike, so that later calls are remembered too."""
        key = (
            "block",
            after.definition,
            freeze(dict(after.arguments)),
            tuple(after.children.values()),
            after.used,
            freeze(dict(after.tensors)),
            freeze_or_id(after.inputs),
        )
        found = self.steps.get(key)
        if found is None:
            self.steps[key] = (after, None)
            return after
        assert isinstance(found[0], BlockState)
        return found[0]

    def with_children(self, state: BlockState, children: Mapping[str, State]) -> BlockState:
        """Return a state whose items were called one by one."""
        if all(children[name] is child for name, child in state.children.items()):
            return state
        after = replace(state, children=dict(children), used=frozenset(children), called=True)
        return self._canonical(state, after)

    def _run_body(
        self, state: BlockState, bound: Mapping[str, Any], cells: dict[str, Cell], place: Span
    ) -> tuple[Any, frozenset[str]]:
        body = state.definition.body
        first = next(iter(bound.values()), None)
        everything = frozenset(cells)
        match body:
            case ModuleBody(program=Program() as program):
                run = self.interpreter(program, state, bound, cells)
                return run.run(program.body), frozenset(run.reached)
            case ModuleBody():
                order = [(name, body.layer_spans[name]) for name in cells]
                return self._in_order(order, first, cells), everything
            case SequenceBody():
                return self._in_order(_places(state), first, cells), everything
            case ResidualBody():
                inner = self._in_order(_places(state), first, cells)
                return combine_values(self, body.combine, [first, inner], state, place), everything
            case ParallelBody():
                results = [
                    cell.call([first], {}, self.place_of(cell.state) or place, name)
                    for name, cell in cells.items()
                ]
                return combine_values(self, body.combine, results, state, place), everything

    def _in_order(self, order: Sequence[tuple[str, Span]], value: Any, cells: Mapping[str, Cell]) -> Any:
        for name, place in order:
            value = cells[name].call([value], {}, place, name)
        return value

    def interpreter(
        self,
        source: Program | Expression,
        state: BlockState,
        bound: Mapping[str, Any],
        cells: Mapping[str, Cell],
    ) -> Interpreter:
        """Return an interpreter for a program of a block."""
        names = {**state.values, **bound}
        return Interpreter(
            self, source, names, cells, state.tensors, self.limits, Budget(self.limits.evaluation_steps)
        )

    def _bind_inputs(
        self,
        definition: Definition,
        state: BlockState,
        inputs: Sequence[Any],
        keywords: Mapping[str, Any],
        place: Span,
    ) -> dict[str, Any]:
        names = [entry.name for entry in definition.inputs]
        if len(inputs) > len(names):
            raise refuse(
                "input-count",
                f"`{definition.name}` takes {_inputs(len(names))}, and gets {len(inputs)}",
                place,
                labels=(Label(definition.span, "the block"),),
            )
        bound = dict(zip(names, inputs, strict=False))
        bound.update(keywords)
        for entry in definition.inputs:
            if entry.name in bound:
                continue
            if entry.default is None:
                raise refuse(
                    "input-count",
                    f"`{definition.name}` needs the input `{entry.name}`",
                    place,
                    labels=(Label(entry.span, "the input"),),
                )
            bound[entry.name] = evaluate_value(entry.default, state.values, definition.scope, self.limits)
        return {name: bound[name] for name in names}

    def place_of(self, state: State) -> Span | None:
        """Return where a layer is written."""
        match state:
            case Leaf() | Operation() | Chain():
                return state.node.span
        return None


def _places(state: BlockState) -> list[tuple[str, Span]]:
    """Return the names of the items of a sequence in running order, each with the place of its layer."""
    return [(name, item.node.span) for name, item in state.order]


def freeze_or_id(inputs: Mapping[str, object]) -> Hashable:
    """Return a key of inputs, which may hold layers."""
    try:
        return freeze(dict(inputs))
    except TypeError:
        return id(inputs)


def _inputs(count: int) -> str:
    return f"{count} input{'' if count == 1 else 's'}"
