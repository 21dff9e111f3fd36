"""The layers and tensors of one class, as the statements of its constructor that make them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from compiler.emit.bound import names_of_tests
from compiler.emit.candidates import choose
from compiler.emit.choose import Case
from compiler.emit.classes.super_call import super_init
from compiler.emit.classes.values import ClassValues
from compiler.emit.layer_emitter import Pairs
from compiler.emit.nodes import NodeEmitter
from compiler.emit.syntax import assign, load_name, own
from compiler.emit.tensors import TensorEmitter
from compiler.emit.trees import names_in
from compiler.program import BASE, Item, LayerNode, ModuleBody, ParallelBody, ResidualBody, SequenceBody


class Containers(Protocol):
    """What knows the classes of torch that a class of the file derives from."""

    def nn(self, name: str) -> str:
        """Return the name of a class of torch.nn."""

    def sequential(self, row: object) -> tuple[str, dict[str, ast.expr]]:
        """Return the class of layers in a row, and its arguments."""


@dataclass(frozen=True)
class Made:
    """The layers of a class."""

    base: str
    """The class that it derives from."""
    statements: list[ast.stmt]
    reads: frozenset[str] = frozenset()
    """The names of values that the statements read."""
    start: int = 0
    """How many of the statements make the layer that the class extends."""


class ClassLayers:
    """Makes the layers of one class."""

    def __init__(
        self, values: ClassValues, nodes: NodeEmitter, tensors: TensorEmitter, containers: Containers
    ) -> None:
        self.values, self.nodes, self.tensors, self.containers = values, nodes, tensors, containers
        self.scope = nodes.scope
        self.cases = values.cases
        self.conditions: dict[str, ast.expr] = {}
        """Of the layers that only some instances have, the condition under which the constructor makes each."""

    def emit(self) -> Made:
        """Return the statements, and the class whose constructor they begin with, if it is a list of layers."""
        match self.values.definition.body:
            case ModuleBody() as body:
                return self._module(body)
            case SequenceBody(items=items) | ResidualBody(items=items):
                return self._sequence(items)
            case ParallelBody() as body:
                return self._parallel(body)

    def _module(self, body: ModuleBody) -> Made:
        if BASE in body.layers:
            return self._extending(body)
        statements = self._parts(body)
        return Made(self.containers.nn("Module"), statements, frozenset(names_in(*statements)))

    def _parts(self, body: ModuleBody) -> list[ast.stmt]:
        """Return the statements that make the tensors and layers of a block."""
        self.scope.sink = statements = self.tensors.emit(body)
        for name, node in body.layers.items():
            if name != BASE:
                self._layer(name, node, body)
        return statements

    def _extending(self, body: ModuleBody) -> Made:
        pairs: Pairs = [(case, case.state.children[BASE]) for case in self.cases]
        with self.scope.inner_statements() as start:
            base, made, converted = self.nodes.base(body.layers[BASE], pairs)
        start += [super_init(made.args, {str(each.arg): each.value for each in made.keywords})]
        start += [ast.Expr(converted)] if converted is not None else []
        statements = [*start, *self._parts(body)]
        return Made(base, statements, frozenset(names_in(*statements)), len(start))

    def _layer(self, name: str, node: LayerNode, body: ModuleBody) -> None:
        cases = [case for case in self.cases if body.program is None or name in case.state.used]
        if not cases:
            assert body.program is not None
            self.values.runs.check_one_sided(names_of_tests(body.program.body), self.cases)
            return
        pairs: Pairs = [(case, case.state.children[name]) for case in cases]
        with self.scope.hinted(body.called(name)), self.scope.inner_statements() as made:
            self.nodes.place(node, pairs, lambda layer: assign(own(name), layer))
        if len(cases) < len(self.cases):
            self._only_if(self._condition(name, body.called(name), cases), made)
            return
        for statement in made:
            self.scope.statement(statement)

    def _condition(self, name: str, called: str, cases: Sequence[Case]) -> ast.expr:
        """Return the condition under which a layer is made: in these cases."""
        flags = [case in cases for case in self.cases]
        self.conditions[name] = choose(self.scope, flags, self.cases, f"has_{called}")
        return self.conditions[name]

    def _only_if(self, test: ast.expr, made: list[ast.stmt]) -> None:
        """Write the statements that make a layer where it is used: `forward` asks for no other."""
        last = self.scope.sink[-1] if self.scope.sink else None
        if isinstance(last, ast.If) and not last.orelse and ast.dump(last.test) == ast.dump(test):
            last.body += made
        else:
            self.scope.statement(ast.If(test, made, []))

    def _sequence(self, items: Sequence[Item]) -> Made:
        base, keywords = self.containers.sequential(self.values.definition)
        listed = len(self.values.definition.inputs) > 1
        if listed:  # the `forward` of `nn.Sequential` takes one input
            base, keywords = self.containers.nn("ModuleList"), {}
        self.scope.sink = statements = []
        pairs: Pairs = [(case, case.state) for case in self.cases]
        if self.nodes.rows.is_plain(items, pairs):
            made = self.nodes.rows.arguments(items, pairs)
            statements.append(super_init([ast.List(made, ast.Load())] if listed else made, keywords))
        else:
            statements.append(super_init([], keywords))
            self.nodes.rows.fill(load_name("self"), items, pairs)
        return Made(base, statements, frozenset(names_in(*statements)))

    def _parallel(self, body: ParallelBody) -> Made:
        self.scope.sink = statements = []
        made = {
            name: self.nodes.emit(item.node, [(case, case.state.children[name]) for case in self.cases])
            for name, item in self.values.states[0].order
        }
        if all(item.name is None for item in body.branches):
            statements.append(super_init([ast.List(list(made.values()), ast.Load())]))
            return Made(self.containers.nn("ModuleList"), statements, frozenset(names_in(*statements)))
        statements.append(super_init([ast.Dict([ast.Constant(t) for t in made], list(made.values()))]))
        return Made(self.containers.nn("ModuleDict"), statements, frozenset(names_in(*statements)))
