"""The engine of inference: one step is one call of one layer, remembered by state and inputs."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from compiler.catalogue.layers import CannotInfer, infer, reads_as_torch
from compiler.catalogue.plugins import Registry
from compiler.infer.arguments import Given, evaluate_value
from compiler.infer.build import Builder
from compiler.infer.calls import TORCH_ERRORS, apply_operation, reason
from compiler.infer.cells import Cell
from compiler.infer.combine import combine_values
from compiler.infer.interpreter import Interpreter
from compiler.infer.states import BlockState, Chain, Identity, Leaf, Operation, State
from compiler.infer.symbols import shape_text
from compiler.infer.values import Recipe, freeze, show, tensors_in
from compiler.program import (
    Call,
    Choice,
    Definition,
    ModuleBody,
    ParallelBody,
    ResidualBody,
    SequenceBody,
    TensorEntry,
)
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import Budget
from spec_schema.grammar import Expression, Program
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.source import Span
from spec_schema.tensors import TensorType


@dataclass
class Frame:
    """A call that is under way: which layer, and where it is called."""

    name: str
    state: State
    place: Span


@dataclass
class Engine:
    """Runs programs over meta tensors."""

    limits: Limits
    plugins: Registry
    training: bool = False
    builder: Builder = field(init=False)
    steps: dict[Hashable, tuple[State, Any]] = field(default_factory=dict)
    modules: dict[Hashable, nn.Module] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    number_calls: set[int] = field(default_factory=set)
    """The `ast` nodes, by identity, that call a function of numbers whose name is an operation too."""
    started: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        self.builder = Builder(self.limits)

    # Steps.

    def step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        """Call a layer: return its state after the call, and its output."""
        key = self._key(state, inputs, keywords)
        if key is not None and key in self.steps:
            return self.steps[key]
        self._check_time(place)
        result = self._step(state, inputs, keywords, place, where)
        if key is not None:
            self.steps[key] = result
        return result

    def _key(self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Hashable | None:
        try:
            return (state, self.training, freeze(list(inputs)), freeze(dict(keywords)))
        except TypeError:
            return None

    def _check_time(self, place: Span) -> None:
        spent = time.process_time() - self.started
        if spent > self.limits.compile_seconds:
            raise refuse(
                "too-slow",
                f"inferring the shapes took more than {self.limits.compile_seconds:g} seconds",
                place,
                notes=self.trail_notes(),
            )

    def _step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        match state:
            case Leaf():
                return self._call_leaf(state, inputs, keywords, place, where)
            case BlockState():
                return self._call_block(state, inputs, keywords, place)
            case Operation():
                return state, self._call_operation(state, inputs, keywords, place)
            case Identity():
                return state, inputs[0]
        raise AssertionError(state)

    # Layers of the catalogue.

    def _call_leaf(
        self, state: Leaf, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        if state.module is None:
            state = self._shape_leaf(state, [*inputs, *keywords.values()], place)
        assert state.module is not None
        try:
            return state, state.module(*inputs, **keywords)
        except TORCH_ERRORS as error:
            raise SpecError([self._leaf_refused(state, inputs, error, place, where)]) from None

    def _shape_leaf(self, state: Leaf, inputs: Sequence[Any], place: Span) -> Leaf:
        try:
            sizes: dict[str, object] = dict(infer(state.layer, state.values, inputs))
        except CannotInfer as error:
            shapes = [shape_text(t) for t in tensors_in(list(inputs))]
            raise refuse(
                "cannot-infer",
                f"`{error.argument}` of `{state.layer.name}` cannot be inferred: {error.reason}",
                state.node.span,
                notes=(f"its input is {', '.join(shapes)}", *self.trail_notes()),
            ) from None
        nested = {
            name: self._nested(value, inputs, place)
            for name, value in state.values.items()
            if isinstance(value, Recipe)
        }
        values = {**state.values, **sizes, **{name: leaf.module for name, leaf in nested.items()}}
        return replace(state, inferred=sizes, module=self._module(state, values, inputs), nested=nested)

    def _nested(self, value: Recipe, inputs: Sequence[Any], place: Span) -> Leaf:
        """Return an argument that is a layer itself: it is made for the same input."""
        state = self.builder.from_call(value.call, Given(value.positional, value.keywords))
        if not isinstance(state, Leaf):
            raise refuse(
                "not-a-layer",
                f"`{value}` cannot be an argument of a layer",
                value.call.span,
                help="a layer of the catalogue can",
            )
        return self._shape_leaf(state, inputs[:1], place)

    def _module(self, state: Leaf, values: Mapping[str, Any], inputs: Sequence[Any]) -> nn.Module:
        key = (state.layer.cls, freeze({k: v for k, v in values.items() if not isinstance(v, nn.Module)}))
        plain = not any(isinstance(v, nn.Module) for v in values.values())
        if plain and key in self.modules:
            return self.modules[key]
        try:
            module: nn.Module = state.layer.cls(**values).eval()
        except TORCH_ERRORS as error:
            raise SpecError([self._construction_refused(state, values, inputs, error)]) from None
        if plain:
            self.modules[key] = module
        return module

    def _construction_refused(
        self, state: Leaf, values: Mapping[str, Any], inputs: Sequence[Any], error: Exception
    ) -> Diagnostic:
        sizes = {name: value for name, value in values.items() if name in state.inferred}
        inside = ", ".join(f"{name} = {value}" for name, value in sizes.items())
        notes = (f"inferred: {inside}",) if inside else ()
        return Diagnostic(
            "bad-argument",
            f"`{state.layer.name}` cannot be made: {reason(error)}",
            state.node.span,
            notes=(*notes, *self.trail_notes()),
            help=self._torch_order(state, sizes),
        )

    def _torch_order(self, state: Leaf, sizes: Mapping[str, Any]) -> str | None:
        """Say so if the call seems to be copied from PyTorch, with its sizes."""
        written = [a for a in state.node.arguments if a.name is None]
        positional = list(state.values.values())[: len(written)]
        keywords = dict(list(state.values.items())[len(written) :])
        if not reads_as_torch(state.layer, positional, keywords, sizes):
            return None
        names = ", ".join(f"`{name}`" for name in sizes)
        return f"{names} follow from the input: leave them out"

    def _leaf_refused(
        self, state: Leaf, inputs: Sequence[Any], error: Exception, place: Span, where: str
    ) -> Diagnostic:
        wrong = self._wrong_size(state, inputs)
        if wrong:
            return wrong
        shapes = ", ".join(shape_text(tensor) for tensor in tensors_in(list(inputs)))
        layer = state.layer.name
        return Diagnostic(
            "shape-mismatch",
            f"`{layer}` refuses its input: {reason(error)}",
            place,
            label=f"{where}: {layer} gets {shapes}" if shapes else "",
            labels=self._declared(state.node, place),
            notes=self.trail_notes(),
        )

    def _declared(self, node: Call, place: Span) -> tuple[Label, ...]:
        same = node.span.file is place.file and node.span.start <= place.start <= node.span.end
        return () if same else (Label(node.span, "the layer"),)

    def _wrong_size(self, state: Leaf, inputs: Sequence[Any]) -> Diagnostic | None:
        """Return a diagnostic if a size that the spec writes is not the one that follows from the input."""
        deferred = {each.name for each in state.layer.arguments if each.deferred}
        written = {name: value for name, value in state.values.items() if name in deferred}
        free = {name: value for name, value in state.values.items() if name not in deferred}
        try:
            actual = infer(state.layer, free, inputs)
        except CannotInfer:
            return None
        for name, value in written.items():
            if actual.get(name) != value:
                argument = next(a for a in state.node.arguments if a.name == name)
                return Diagnostic(
                    "wrong-size",
                    f"`{name}` is {actual.get(name)}, and the spec says {show(value)}",
                    argument.span,
                    label=f"the input is {shape_text(inputs[0])}",
                    notes=self.trail_notes(),
                    help="leave it out: it follows from the input",
                )
        for name, size in state.inferred.items():
            if name in actual and actual[name] != size:
                return Diagnostic(
                    "shape-mismatch",
                    f"`{name}` of this {state.layer.name} was inferred as {size} by "
                    f"an earlier call, and is {actual[name]} here",
                    self.frames[-1].place if self.frames else state.node.span,
                    labels=self._declared(state.node, self.frames[-1].place),
                    notes=self.trail_notes(),
                )
        return None

    # Operations in layer positions.

    def _call_operation(
        self, state: Operation, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> Any:
        if len(inputs) != 1 or keywords:
            raise refuse("input-count", f"`{state.name}` takes the value that flows, one input", place)
        arguments = [*inputs, *state.positional]
        try:
            return apply_operation(state.name, self.plugins.operations, arguments, state.keywords)
        except TORCH_ERRORS as error:
            shapes = ", ".join(shape_text(tensor) for tensor in tensors_in(list(inputs)))
            raise refuse(
                "operation-failed",
                f"`{state.name}` refuses this: {reason(error)}",
                state.node.span,
                label=f"gets {shapes}",
                notes=self.trail_notes(),
            ) from None

    # Blocks.

    def _call_block(
        self, state: BlockState, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> tuple[State, Any]:
        if len(self.frames) > self.limits.block_depth * 2:
            raise refuse("block-depth", f"blocks nested more than {self.limits.block_depth} deep", place)
        bound = self._bind_inputs(state.definition, state, inputs, keywords, place)
        tensors = self._shape_tensors(state, bound)
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
        for keyword, value in keywords.items():
            if keyword not in names or keyword in bound:
                raise refuse(
                    "unknown-argument",
                    f"`{definition.name}` has no other input `{keyword}`",
                    place,
                    notes=(f"inputs: {', '.join(names)}",),
                )
            bound[keyword] = value
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

    # Parameters and buffers of blocks.

    def _shape_tensors(self, state: BlockState, bound: Mapping[str, Any]) -> dict[str, Tensor]:
        body = state.definition.body
        if state.tensors or not isinstance(body, ModuleBody):
            return dict(state.tensors)
        return {name: self._tensor(entry, state, bound) for name, entry in body.tensors.items()}

    def _tensor(self, entry: TensorEntry, state: BlockState, bound: Mapping[str, Any]) -> Tensor:
        if entry.value is not None:
            value = self.tensor_value(entry, state)
            if entry.type is not None:
                value = self._checked(entry, entry.type, value, state, bound)
            return value
        assert entry.type is not None
        return torch.empty(self.dimensions(entry.type, state, bound), dtype=dtype_of(entry.type.dtype))

    def tensor_value(self, entry: TensorEntry, state: BlockState) -> Tensor:
        """Compute the `value` of a buffer, on whatever device torch makes tensors."""
        source = entry.value
        assert source is not None
        run = self.interpreter(source, replace(state, tensors={}), {}, {})
        value = run.run(source.body) if isinstance(source, Program) else run.value(source.tree)
        if isinstance(value, bool | int | float | list | tuple) and not tensors_in(value):
            value = torch.tensor(value)
        if not isinstance(value, Tensor):
            raise refuse(
                "not-a-tensor", f"the value of `{entry.name}` is {show(value)}, not a tensor", entry.span
            )
        return value

    def _checked(
        self,
        entry: TensorEntry,
        declared: TensorType,
        value: Tensor,
        state: BlockState,
        bound: Mapping[str, Any],
    ) -> Tensor:
        shape = self.dimensions(declared, state, bound)
        if tuple(value.shape) != shape:
            raise refuse(
                "wrong-size",
                f"the value of `{entry.name}` has the shape {show(value)}",
                entry.span,
                notes=(f"declared: {declared}",),
            )
        return value.to(dtype_of(declared.dtype))

    def dimensions(self, tensor: TensorType, state: BlockState, bound: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the sizes of a tensor type."""
        sizes = []
        for dimension in tensor.dimensions:
            size = self.interpreter(dimension, state, bound, {}).value(dimension.tree)
            sizes.append(check_size(size, dimension, self.limits))
        return tuple(sizes)

    # Where an error is.

    @contextmanager
    def inside(self, cell: Cell, place: Span) -> Iterator[None]:
        """Keep a call on the trail while it runs."""
        self.frames.append(Frame(cell.name, cell.state, place))
        try:
            yield
        finally:
            self.frames.pop()

    def trail_notes(self) -> tuple[str, ...]:
        """Return a note that names the block instance in which something went wrong."""
        blocks = [(n, f) for n, f in enumerate(self.frames) if isinstance(f.state, BlockState)]
        if len(blocks) < 2:
            return ()
        number, frame = blocks[-1]
        path = ".".join(f.name for f in self.frames[1 : number + 1])
        state = frame.state
        assert isinstance(state, BlockState)
        arguments = ", ".join(f"{name}={show(value)}" for name, value in state.arguments.items())
        line = frame.place.line
        return (f"in {path}, a {state.definition.name}({arguments}) from line {line}",)

    def cause_labels(self) -> tuple[Label, ...]:
        """Return labels for the layers of the current block that are nothing here, because of a choice."""
        for frame in reversed(self.frames):
            if isinstance(frame.state, BlockState):
                return self._identities(frame.state)
        return ()

    def _identities(self, state: BlockState) -> tuple[Label, ...]:
        body = state.definition.body
        if not isinstance(body, ModuleBody):
            return ()
        labels = []
        for name, child in state.children.items():
            node = body.layers[name]
            if isinstance(child, Identity) and isinstance(node, Choice):
                labels.append(
                    Label(body.layer_spans[name], f"the identity here, because `{node.condition}` is false")
                )
        return tuple(labels)

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


def dtype_of(name: str) -> torch.dtype:
    """Return the dtype of torch that a name of the grammar stands for; `float` is the default one."""
    if name == "float":
        return torch.get_default_dtype()
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found


def check_size(size: Any, dimension: Expression, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return a size, or refuse what is none."""
    if isinstance(size, torch.SymInt):
        return size
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        message = f"`{dimension}` is {show(size)}, and a size is a whole number"
        raise refuse("bad-size", message, dimension.place)
    if size > limits.dimension:
        note = f"the limit is {limits.dimension}"
        raise refuse("bad-size", f"a dimension of {size}", dimension.place, notes=(note,))
    return size
