"""The `forward` of one class."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from compiler.emit.annotations import annotation_of_input, annotation_of_output
from compiler.emit.classes.combined import Combiner
from compiler.emit.classes.overriding import is_incompatible
from compiler.emit.classes.translation import ClassTranslation
from compiler.emit.expressions import Translator
from compiler.emit.syntax import assign, call, function, index, inherited, load_name, own, parameters
from compiler.program import BASE, Item, ModuleBody, ParallelBody, ResidualBody, SequenceBody
from compiler.resolve.nodes import reuses
from spec_schema.grammar import Expression, Program


class ForwardEmitter:
    """Emits the `forward` of one class."""

    def __init__(self, translation: ClassTranslation) -> None:
        self.translation, self.values = translation, translation.values
        self.definition = self.values.definition
        self.states = [state for state in self.values.states if state.called]
        self.moves = translation.class_moves()
        self.combiner = Combiner(translation, self.moves)

    def emit(self) -> ast.FunctionDef | None:
        """Return the method, None if it would do what the class inherits, or if nothing calls it.

        Of a block that nothing calls, another one calls the layers inside.
        """
        if not self.states:
            return None
        local = self.translation.local
        start = self.moves.inputs([(entry.name, local(entry.name)) for entry in self.definition.inputs])
        statements = self._statements(bool(start))
        if statements is None:
            return None
        returns = annotation_of_output([state.output for state in self.states])
        made = function("forward", parameters(self._inputs()), [*start, *statements], returns)
        if self.values.base is not None and is_incompatible(self.values.base, made):
            made.type_comment = "ignore[override]"
        return made

    def _statements(self, starts: bool) -> list[ast.stmt] | None:
        """Return the statements; `starts` says that its inputs move, so that a list cannot do without a method."""
        match self.definition.body:
            case ModuleBody(program=Program() as program):
                return self.translation.program(program)
            case ModuleBody(layers=layers):
                if self.definition.is_node and not (starts or self.moves.has("layer")):
                    return None
                made = [name for name in layers if self._is_made(name)]
                return self._in_order([own(name) if name != BASE else inherited("forward") for name in made])
            case SequenceBody(items=items):
                return self._sequence(items) if starts or self._is_written_out(items) else None
            case ResidualBody() as body:
                return self._residual(body)
            case ParallelBody() as body:
                return self.combiner.branches(body, self.states[0], self._flow().id)

    def _is_made(self, name: str) -> bool:
        return any(name in state.children for state in self.states)

    # Lists.

    def _is_written_out(self, items: Sequence[Item]) -> bool:
        """Say whether `forward` calls the layers of a list one by one."""
        return reuses(items) or self.moves.has("layer") or len(self.definition.inputs) > 1

    def _sequence(self, items: Sequence[Item]) -> list[ast.stmt]:
        if not self._is_written_out(items):
            return [ast.Return(self._inherited(self._flow()))]
        return self._in_order([self._item(name) for name, _ in self.states[0].order])

    def _inherited(self, flow: ast.Name) -> ast.expr:
        return call(inherited("forward"), flow)

    def _item(self, name: str) -> ast.expr:
        """Return an item of a sequence: by its name, or by its place among the items."""
        if not name.isdigit():
            return own(name)
        return index(load_name("self"), self.states[0].places[name])

    def _in_order(self, layers: Sequence[ast.expr]) -> list[ast.stmt]:
        flow = self._flow().id
        calls = [call(layer, *self._given(at)) for at, layer in enumerate(layers)]
        statements: list[ast.stmt] = [assign(flow, each) for each in calls[:-1]]
        return [*statements, ast.Return(calls[-1] if calls else load_name(flow))]

    def _given(self, at: int) -> list[ast.expr]:
        """Return what a layer in a row is given: the value that flows, or if it is the first, all inputs."""
        names = [self.translation.local(entry.name) for entry in self.definition.inputs]
        taken = names if at == 0 else names[:1]
        return [self.moves.layer(at, load_name(name), number) for number, name in enumerate(taken)]

    def _residual(self, body: ResidualBody) -> list[ast.stmt]:
        start = self._flow()
        if not self._is_written_out(body.items):
            return [ast.Return(self.combiner.combined(body.combine, [start, self._inherited(start)]))]
        statements: list[ast.stmt] = []
        flow, inner = ("y" if start.id != "y" else "z"), start
        for at, (name, _) in enumerate(self.states[0].order):
            statements.append(assign(flow, call(self._item(name), self.moves.layer(at, inner))))
            inner = load_name(flow)
        return [*statements, ast.Return(self.combiner.combined(body.combine, [start, inner]))]

    # Inputs.

    def _flow(self) -> ast.Name:
        """Return the input of a block that is written without a program, or the first if it hands on several."""
        return load_name(self.translation.local(self.definition.inputs[0].name))

    def _inputs(self) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
        rows = []
        for entry in self.definition.inputs:
            values = [state.inputs.get(entry.name) for state in self.states]
            default = self._default(entry.default) if entry.default is not None else None
            if isinstance(default, ast.Constant) and default.value is None:
                values.append(None)
            rows.append((self.translation.local(entry.name), annotation_of_input(values), default))
        return rows

    def _default(self, default: Expression) -> ast.expr:
        self.values.runs.check_literal(default, self.definition)
        return Translator(self.values.names, self.states[0].values, {}).translate(default.tree)
