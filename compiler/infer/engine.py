"""The engine of inference: one step is one call of one layer, remembered by state and inputs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from compiler.catalogue.operation_table import TRAINING
from compiler.infer.arguments import evaluate_value
from compiler.infer.base import check_base
from compiler.infer.block_parameters import BlockParameters
from compiler.infer.calls import TORCH_ERRORS, check_arguments, operation_named, stacks
from compiler.infer.combine import combine_values
from compiler.infer.context import Context
from compiler.infer.interpreter import Interpreter
from compiler.infer.leaves import Leaves
from compiler.infer.module_references import BaseReference, ModuleReference
from compiler.infer.reasons import refusal
from compiler.infer.statements import result_of
from compiler.infer.states import (
    BlockState,
    Chain,
    Identity,
    Leaf,
    Operation,
    State,
    takes_mode,
    updated_in,
)
from compiler.infer.symbols import shape_text
from compiler.infer.values import freeze, tensors_in
from compiler.infer.watched import call_watched
from compiler.program import (
    BASE,
    Definition,
    ModuleBody,
    ParallelBody,
    ResidualBody,
    SequenceBody,
)
from spec_schema.budget import Budget
from spec_schema.clock import check_time
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.grammar import Expression, Program
from spec_schema.source import Span


@dataclass
class Engine(Context):
    """Runs programs over meta tensors."""

    leaves: Leaves = field(init=False)
    own_tensors: BlockParameters = field(init=False)
    steps: dict[Hashable, tuple[State, Any]] = field(default_factory=dict)
    interpreting: ClassVar[type[Interpreter]] = Interpreter
    """What evaluates the expressions of programs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.leaves = Leaves(self)
        self.own_tensors = BlockParameters(self)

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
            return (state, self.training, self.chosen.base, freeze(list(inputs)), freeze(dict(keywords)))
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
        if stacks(state.name, inputs):
            help = "make one tensor of it before: `stack()`"
            raise refuse("not-a-tensor", f"`{state.name}` gets a list of tensors", place, help=help)
        arguments, keywords = [*inputs, *state.positional], dict(state.keywords)
        if takes_mode(state, self.plugins):
            self.asked_mode, keywords[TRAINING] = True, self.training
        if state.name not in self.plugins.operations:
            check_arguments(state.node.span, state.name, arguments, keywords)
        try:
            function = operation_named(state.name, self.plugins.operations)
            chosen = self.chosen.call(function, arguments, keywords)
            if chosen is not None:
                return chosen[0]
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

    # Blocks.

    def _call_block(
        self, state: BlockState, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> tuple[State, Any]:
        if len(self.trail.frames) > self.limits.block_depth * 2:
            raise refuse("block-depth", f"blocks are nested more than {self.limits.block_depth} deep", place)
        bound = self._bind_inputs(state.definition, state, inputs, keywords, place)
        tensors = self.own_tensors.shape(state, bound)
        state = replace(state, tensors=tensors, inputs=state.inputs or bound)
        cells = {name: self._cell(name, child, bound) for name, child in state.children.items()}
        output, reached = self._run_body(state, bound, cells, place)
        base = cells.get(BASE)
        if isinstance(base, BaseReference):
            check_base(base.made(place), state.definition)
            reached |= {BASE}
        children = {name: cell.freeze() for name, cell in cells.items()}
        after = replace(
            state,
            children=children,
            used=state.used | reached,
            called=True,
            output=output if not state.called else state.output,
        )
        return self._canonical(state, after), output

    def _cell(self, name: str, child: State, bound: Mapping[str, Any]) -> ModuleReference:
        if name != BASE or isinstance(child, BlockState):
            return ModuleReference(self, name, child)
        return BaseReference(self, child, list(bound.values()))

    def _canonical(self, before: BlockState, after: BlockState) -> BlockState:
        """Return one state for all that are alike, so that later calls are remembered too."""
        key = (
            "block",
            after.definition,
            freeze(dict(after.arguments)),
            tuple(after.children.values()),
            after.used,
            after.called,
            freeze(dict(after.tensors)),
            freeze_or_id(after.inputs),
        )
        found = self.steps.get(key)
        if found is None:
            self.steps[key] = (after, None)
            return after
        assert isinstance(found[0], BlockState)
        return found[0]

    def with_children(self, state: BlockState, reached: Mapping[str, State]) -> BlockState:
        """Return a state of which some layers were reached one by one."""
        children, used = {**state.children, **reached}, state.used.union(reached)
        if used == state.used and all(children[name] is each for name, each in state.children.items()):
            return state
        return self._canonical(state, replace(state, children=children, used=used))

    def with_tensors(self, state: BlockState, path: str, place: Span) -> BlockState:
        """Return the state of a block with its own tensors, which may be read before a call."""
        body = state.definition.body
        if state.tensors or not isinstance(body, ModuleBody) or not body.tensors:
            return state
        try:
            return replace(state, tensors=self.own_tensors.shape(state, {}))
        except SpecError as error:
            sizes = [entry.type.span for entry in body.tensors.values() if entry.type is not None]
            labels = tuple(Label(size, "its size") for size in sizes[:1])
            message = f"`{path}` has no shape before its first call"
            help = "call it first, or let the size follow from an argument of the block"
            raise refuse("not-yet-shaped", message, place, labels=labels, help=help) from error

    def _run_body(
        self, state: BlockState, bound: Mapping[str, Any], cells: dict[str, ModuleReference], place: Span
    ) -> tuple[Any, frozenset[str]]:
        body = state.definition.body
        given = list(bound.values())
        first = next(iter(given), None)
        everything = frozenset(cells)
        match body:
            case ModuleBody(program=Program() as program):
                run = self.interpreter(program, state, bound, cells)
                return result_of(program, run), frozenset(run.reached)
            case ModuleBody():
                order = [(name, body.layer_spans[name]) for name in cells]
                return self._in_order(order, given, cells), everything
            case SequenceBody():
                return self._in_order(_places(state), given, cells), everything
            case ResidualBody():
                inner = self._in_order(_places(state), given, cells)
                return combine_values(self, body.combine, [first, inner], state, place), everything
            case ParallelBody():
                results = [
                    cell.call([first], {}, self.place_of(cell.state) or place, name)
                    for name, cell in cells.items()
                ]
                return combine_values(self, body.combine, results, state, place), everything

    def _in_order(
        self, order: Sequence[tuple[str, Span]], given: list[Any], cells: Mapping[str, ModuleReference]
    ) -> Any:
        """Run layers one after the other; the first one gets all inputs."""
        for name, place in order:
            given = [cells[name].call(given, {}, place, name)]
        return given[0]

    def interpreter(
        self,
        source: Program | Expression,
        state: BlockState,
        bound: Mapping[str, Any],
        cells: Mapping[str, ModuleReference],
    ) -> Interpreter:
        """Return an interpreter for a program of a block."""
        names, layers = {**state.values, **bound}, called_by_name(state, cells)
        budget = Budget(self.limits.evaluation_steps)
        run = self.interpreting(self, source, names, layers, state.tensors, self.limits, budget)
        run.updated = updated_in(state)
        return run

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
                notes=_handed_on(definition),
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

    def shaped(self, state: Leaf, place: Span, inputs: Sequence[Any] = ()) -> Leaf:
        """Return a layer that no call has reached, with its tensors: its sizes are written, or follow from inputs."""
        return self.leaves.shape(state, place, inputs)

    def place_of(self, state: State) -> Span | None:
        """Return where a layer is written."""
        match state:
            case Leaf() | Operation() | Chain():
                return state.node.span
        return None


def _places(state: BlockState) -> list[tuple[str, Span]]:
    """Return the names of the items of a sequence in running order, each with the place of its layer."""
    return [(name, item.node.span) for name, item in state.order]


def called_by_name(state: BlockState, cells: Mapping[str, ModuleReference]) -> Mapping[str, ModuleReference]:
    """Return the layers of a block by the names that its program calls them by."""
    body = state.definition.body
    return {body.called(key): cell for key, cell in cells.items()} if isinstance(body, ModuleBody) else cells


def freeze_or_id(inputs: Mapping[str, object]) -> Hashable:
    """Return a key of inputs, which may hold layers."""
    try:
        return freeze(dict(inputs))
    except TypeError:
        return id(inputs)


def _handed_on(definition: Definition) -> tuple[str, ...]:
    """Return where the inputs of a block go that no program takes."""
    body = definition.body
    if isinstance(body, ModuleBody) and body.program is not None:
        return ()
    if isinstance(body, ResidualBody | ParallelBody):
        return ("branches and residuals take one input; a `forward` program may take several",)
    return ("without a `forward` program, the inputs of a block are those of its first layer",)


def _inputs(count: int) -> str:
    return f"{count} input{'' if count == 1 else 's'}"
