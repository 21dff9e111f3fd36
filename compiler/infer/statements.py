"""The statements of programs, run over meta tensors.

Both branches of a data-dependent `if` and the body of a data-dependent `while` are checked; what is decided
at compile time goes its one way.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import partial
from typing import Any

from compiler.infer.interpreter import DependsOnData, Interpreter
from compiler.infer.join import Branch, disagreement, merge
from compiler.infer.values import Undecided, same_form, show
from spec_schema.clock import check_time
from spec_schema.diagnostics import Label, refuse
from spec_schema.grammar import Expression, Program


def result_of(source: Program | Expression, interpreter: Interpreter) -> Any:
    """Return what a program returns, or the value of an expression."""
    if isinstance(source, Program):
        return Statements(interpreter).run(source.body)
    return interpreter.value(source.tree)


class Returned:
    """The value of a `return`."""

    def __init__(self, node: ast.AST, value: Any) -> None:
        self.node, self.value = node, value


class Statements:
    """Runs the statements of one program, with the interpreter of its expressions, which holds its names."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.source = interpreter.source
        self.pending: list[Returned] = []
        """What is returned on only one of the ways that data may take."""

    def run(self, body: Sequence[ast.stmt]) -> Any:
        """Run a program and return what it returns."""
        returned = self.block(body)
        assert returned is not None  # the grammar asks for a return on every way
        for early in self.pending:
            if not same_form(early.value, returned.value):
                ways = (early.node, early.value), (returned.node, returned.value)
                raise disagreement(self.source, None, "what is returned", *ways)
        return returned.value

    def block(self, body: Sequence[ast.stmt]) -> Returned | None:
        """Run statements; return what a `return` among them gives."""
        for statement in body:
            self.interpreter.budget.spend(self.source, statement)
            check_time(partial(self.source.span, statement), self.interpreter.engine.trail.notes)
            method = getattr(self, f"_run_{type(statement).__name__}")
            returned: Returned | None = method(statement)
            if returned is not None:
                return returned
        return None

    def _run_Pass(self, node: ast.Pass) -> None:
        return None

    def _run_Return(self, node: ast.Return) -> Returned:
        assert node.value is not None
        return Returned(node, self.interpreter.value(node.value))

    def _run_Assign(self, node: ast.Assign) -> None:
        value = self.interpreter.value(node.value)
        for target in node.targets:
            self.interpreter.bind(target, value)

    def _run_AugAssign(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise refuse(
                "changed-in-place", "a value cannot be changed in place", self.source.span(node.target)
            )
        whole = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
        ast.copy_location(whole, node)
        ast.copy_location(whole.left, node.target)
        self.interpreter.bind(node.target, self.interpreter.value(whole))

    def _run_If(self, node: ast.If) -> Returned | None:
        try:
            decided = self.interpreter.truth(node.test, self.interpreter.value(node.test))
        except DependsOnData:
            return self._both_ways(node)
        return self.block(node.body if decided else node.orelse)

    def _both_ways(self, node: ast.If) -> Returned | None:
        """Run both branches of an `if` that depends on data, and keep what they agree on."""
        before = self._way()
        first = self.block(node.body)
        after_first = self._way()
        self._go_back(before)
        second = self.block(node.orelse)
        if first is not None and second is not None:
            if not same_form(first.value, second.value):
                ways = (first.node, first.value), (second.node, second.value)
                raise disagreement(self.source, node.test, "what is returned", *ways)
            return first
        if first is not None or second is not None:
            self.pending.extend(returned for returned in (first, second) if returned is not None)
            self._go_back(self._way() if first is not None else after_first)
            return None
        self.interpreter.names = merge(self.source, node.test, after_first, self._way())
        return None

    def _way(self) -> Branch:
        return Branch(dict(self.interpreter.names), dict(self.interpreter.places))

    def _go_back(self, way: Branch) -> None:
        self.interpreter.names, self.interpreter.places = dict(way.names), dict(way.places)

    def _run_While(self, node: ast.While) -> Returned | None:
        try:
            while self.interpreter.truth(node.test, self.interpreter.value(node.test)):
                returned = self.block(node.body)
                if returned is not None:
                    return returned
        except DependsOnData:
            self._loop_of_data(node)
        return None

    def _loop_of_data(self, node: ast.While) -> None:
        """Run the body of a data-dependent loop once: what it changes must keep its shape and dtype."""
        before = self._way()
        returned = self.block(node.body)
        if returned is not None:
            self.pending.append(returned)
        self.interpreter.names = merge(self.source, node.test, before, self._way())
        for name, value in self.interpreter.names.items():
            if isinstance(value, Undecided) and not isinstance(before.names.get(name, value), Undecided):
                raise refuse(
                    "undecided-value",
                    f"`{name}` is {show(before.names[name])}, which is no tensor, and this loop changes it",
                    self.source.span(self.interpreter.places.get(name, node.test)),
                    labels=(Label(self.source.span(node.test), "data decides how often"),),
                    help=f"make it a tensor in front of the loop: `{name} = full((), {show(before.names[name])})`",
                )

    def _run_For(self, node: ast.For) -> Returned | None:
        for item in self.interpreter.items(node.iter, self.interpreter.value(node.iter)):
            self.interpreter.bind(node.target, item)
            returned = self.block(node.body)
            if returned is not None:
                return returned
        return None
