"""The calls of a model, found by one more run: which value goes from where to where, with its shape.

A tensor that comes out of a call is a new object, by whose identity the call is known that it came from.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from compiler.catalogue.unheard import unheard
from compiler.drawing.graph import Graph, Growing, Node
from compiler.drawing.marks import Marked
from compiler.drawing.wording import called, cut, operation_text, type_text
from compiler.infer.chosen import FIRST
from compiler.infer.combine import combine_values
from compiler.infer.engine import Engine, called_by_name
from compiler.infer.infer import Inferred, sample_inputs
from compiler.infer.interpreter import Interpreter
from compiler.infer.module_references import ModuleReference
from compiler.infer.on_meta import meta_device
from compiler.infer.placed import map_tensors
from compiler.infer.states import BlockState, Chain, Identity, Leaf, State, updated_in
from compiler.infer.symbols import shape_text, symbolic_sizes
from compiler.infer.values import tensors_in
from compiler.infer.watched import watched
from compiler.program import BASE_CALL, ParallelBody, ResidualBody
from spec_schema.budget import Budget
from spec_schema.clock import Clock, stage
from spec_schema.grammar import Expression, Program
from spec_schema.source import Span

STRUCTURAL = frozenset({"len", "zip", "enumerate", "reversed", "range"})
"""Functions over lists, which leave the tensors in them alone."""


SYMBOLIC_SECONDS = 6.0
"""Of CPU. A model that takes longer over symbols is drawn with its example sizes."""


def traced(inferred: Inferred, root: State, marked: Marked) -> tuple[Graph, ...]:
    """Return the graphs of a model, its own the last, with the names of open dimensions where these follow."""
    if not inferred.program.sizes:
        return _run(inferred, root, marked, {})
    try:
        return _over_symbols(inferred, root, marked)
    except Exception:  # torch's symbols stop at what they cannot prove; the examples are what was checked
        return _run(inferred, root, marked, inferred.program.sizes)


def _over_symbols(inferred: Inferred, root: State, marked: Marked) -> tuple[Graph, ...]:
    program, clock = inferred.program, Clock(SYMBOLIC_SECONDS)
    with (
        clock.running(),
        stage("drawing"),
        symbolic_sizes(program.sizes) as symbols,
        watched(program.model.span, tuple),
    ):
        return _run(inferred, root, marked, symbols)


def _run(inferred: Inferred, root: State, marked: Marked, sizes: Mapping[str, Any]) -> tuple[Graph, ...]:
    engine = Tracer(inferred.limits, inferred.plugins, inferred.dtype)
    engine.marked = marked
    engine.chosen.begin(FIRST)
    with meta_device(inferred.dtype):
        inputs = sample_inputs(inferred.program, sizes)
    assert isinstance(root, BlockState)
    named = {entry.name: inputs[entry.name] for entry in inferred.program.model.inputs}
    with meta_device(inferred.dtype):
        engine.run(root, [], named, inferred.program.model.span, "model")
    return tuple(engine.graphs)


@dataclass(eq=False)
class Frame:
    """A call whose inside is drawn: `tensors` are those that the block holds itself."""

    graph: Growing = field(default_factory=Growing)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    read: dict[int, int] = field(default_factory=dict)
    """The node of each own tensor that was read, by the tensor's identity."""


@dataclass
class Tracer(Engine):
    """Runs programs, and notes their calls."""

    graphs: list[Graph] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    origins: dict[int, tuple[Tensor, Growing, int]] = field(default_factory=dict)
    """The node that each tensor came from. The tensor is kept, so that no other one gets its identity."""
    seen: dict[Hashable, tuple[int | None, Any]] = field(default_factory=dict)
    marked: Marked = field(default_factory=lambda: Marked({}, {}))

    # Calls.

    def run(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[int | None, Any]:
        """Call a layer; return the number of the graph of its inside, if it has one, and its output."""
        key = self.key(state, inputs, keywords)
        if key is None or key not in self.seen:
            found = self._run_new(state, inputs, keywords, place, where)
            if key is None:
                return found
            self.seen[key] = found
        return self.seen[key]

    def _run_new(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[int | None, Any]:
        if not isinstance(state, BlockState | Chain):
            return None, super()._step(state, inputs, keywords, place, where)[1]
        tensors = state.tensors if isinstance(state, BlockState) else {}
        self.frames.append(Frame(tensors=tensors))
        try:
            if isinstance(state, BlockState):
                output = self._block(state, inputs, keywords, place)
            else:
                output = self._row(state, self._enter("", inputs[0]), place)
            self._note(Node("output", "output"), [output], None)
        finally:
            frame = self.frames.pop()
        self.graphs.append(frame.graph.graph())
        return len(self.graphs) - 1, output

    def _block(
        self, state: BlockState, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> Any:
        bound = self._bind_inputs(state.definition, state, inputs, keywords, place)
        bound = {name: self._enter(name, value) for name, value in bound.items()}
        cells: dict[str, ModuleReference] = {
            name: TracedReference(self, name or BASE_CALL, child) for name, child in state.children.items()
        }
        return self._run_body(state, bound, cells, place)[0]

    def _row(self, state: Chain, value: Any, place: Span) -> Any:
        for name, child in zip(state.names, state.states, strict=True):
            cell = TracedReference(self, name, child)
            value = cell.call([value], {}, self.place_of(child) or place, name)
        return value

    def _run_body(
        self, state: BlockState, bound: Mapping[str, Any], cells: dict[str, ModuleReference], place: Span
    ) -> tuple[Any, frozenset[str]]:
        body = state.definition.body
        first = next(iter(bound.values()), None)
        match body:
            case ResidualBody():
                order = [(name, item.node.span) for name, item in state.order]
                values = [first, self._in_order(order, list(bound.values()), cells)]
            case ParallelBody():
                values = [cell.call([first], {}, place, name) for name, cell in cells.items()]
            case _:
                return super()._run_body(state, bound, cells, place)
        combined = combine_values(self, body.combine, values, state, place)
        name = body.combine.target if body.combine is not None else "add"
        return self._note(Node("operation", called(name)), values, combined), frozenset(cells)

    def interpreter(
        self,
        source: Program | Expression,
        state: BlockState,
        bound: Mapping[str, Any],
        cells: Mapping[str, ModuleReference],
    ) -> Interpreter:
        names, layers = {**state.values, **bound}, called_by_name(state, cells)
        budget = Budget(self.limits.evaluation_steps)
        run = TracedInterpreter(self, source, names, layers, state.tensors, self.limits, budget)
        run.updated = updated_in(state)
        return run

    # What is noted.

    def _enter(self, name: str, value: Any) -> Any:
        """Return an input of a block as a value that comes from its own node."""
        return self._note(Node("input", name), [], value) if tensors_in(value) else value

    def call(
        self, path: str | None, state: State, given: Sequence[Any], inside: int | None, output: Any
    ) -> Any:
        """Note the call of a layer; return its output as a value that comes from there."""
        kind, label = _kind(state), cut(path or "")
        marks, parameters = self.marked.marks.get(state, ()), self.marked.parameters.get(state, 0)
        if isinstance(state, Identity):
            return output
        node = Node(kind, label, type_text(state), path, inside, marks, parameters)
        if kind == "operation":
            node = replace(node, label=operation_text(path or "", node.type), type="")
        return self._note(node, given, output)

    def operation(self, label: str, given: Sequence[Any], output: Any) -> Any:
        """Note an operation; return its result as a value that comes from there. What gives no tensor is not drawn."""
        if not tensors_in(output):
            return output
        return self._note(Node("operation", label), given, output)

    def _note(self, node: Node, given: Sequence[Any], output: Any) -> Any:
        graph = self.frames[-1].graph if self.frames else Growing()
        sources = [(self._source(tensor), shape_text(tensor)) for tensor in tensors_in(list(given))]
        number = graph.add(node)
        for source, shape in sources:
            if source is not None:
                graph.join(source, number, shape)
        return map_tensors(lambda tensor: self._known(tensor, graph, number), output)

    def _known(self, tensor: Tensor, graph: Growing, number: int) -> Tensor:
        new = tensor.detach()
        self.origins[id(new)] = new, graph, number
        return new

    def _source(self, tensor: Tensor) -> int | None:
        """Return the node of this frame that a tensor comes from; one of a layer, or of the block, gets its own."""
        frame = self.frames[-1]
        found = self.origins.get(id(tensor))
        if found is not None and found[1] is frame.graph:
            return found[2]
        if id(tensor) in frame.read:
            return frame.read[id(tensor)]
        name = next((name for name, own in frame.tensors.items() if own is tensor), None)
        if name is None:
            return None
        frame.read[id(tensor)] = frame.graph.add(Node("tensor", name, path=name))
        return frame.read[id(tensor)]

    def read(self, path: str, tensor: Tensor) -> Tensor:
        """Note that a program reads a tensor of a layer."""
        return self._note(Node("tensor", path, path=path), [], tensor)  # type: ignore[no-any-return]


def _kind(state: State) -> Any:
    match state:
        case BlockState():
            return "block"
        case Chain():
            return "sequence"
        case Leaf():
            return "layer"
    return "operation"


class TracedReference(ModuleReference):
    """A layer whose calls are noted."""

    engine: Tracer

    def call(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str) -> Any:
        state = self.state
        with self.engine.trail.inside(self._step(), state, place):
            inside, output = self.engine.run(state, inputs, keywords, place, where)
        given = [*inputs, *keywords.values()]
        path = "" if self.path == BASE_CALL and isinstance(state, Leaf) else self.path
        return self.engine.call(path, state, given, inside, output)

    def member(self, name: str, place: Span) -> Tensor | ModuleReference:
        found = super().member(name, place)
        return self.engine.read(f"{self.path}.{name}", found) if isinstance(found, Tensor) else found


class TracedInterpreter(Interpreter):
    """Runs a program whose operations are noted."""

    engine: Tracer

    def perform(
        self,
        node: ast.AST,
        what: str,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        result = super().perform(node, what, function, arguments, keywords)
        if what in STRUCTURAL or not (isinstance(node, ast.Call) or _over_tensors(arguments)):
            return result  # lists of tensors, which stay the ones that they are
        label = called(what, node)
        return self.engine.operation(label, [*arguments, *keywords.values()], result)

    def attribute(self, node: ast.Attribute) -> Any:
        result = super().attribute(node)
        if not isinstance(result, Tensor) or id(result) in self.engine.origins:
            return result
        value = self.value(node.value)
        return self.engine.operation(node.attr, [value], result) if isinstance(value, Tensor) else result

    def items(self, node: ast.AST, value: Any) -> list[Any]:
        found = super().items(node, value)
        if not isinstance(value, Tensor):
            return found
        with unheard():
            return list(self.engine.operation("unbind", [value], found))


def _over_tensors(operands: Sequence[Any]) -> bool:
    """Return whether an operator computes with tensors, rather than with lists of them."""
    return not any(isinstance(each, list | tuple) for each in operands[:1])
