"""The statements of programs, run over meta tensors.

Both branches of a data-dependent `if` and the body of a data-dependent `while` are checked; what is decided
at compile time goes its one way.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, eq=False)
class Left:
    """A way that ends at a `break` or a `continue`: it goes on behind the loop, or with its next turn."""

    node: ast.Break | ast.Continue


Ended = Returned | Left | None
"""How a way through statements ends; None where it goes on with what stands below."""


@dataclass(eq=False)
class Loop:
    """The ways that leave one loop, and those that leave one turn of it, each with the condition that parts it."""

    place: ast.expr
    behind: list[tuple[Branch, ast.expr]] = field(default_factory=list)
    next_turn: list[tuple[Branch, ast.expr]] = field(default_factory=list)


class Statements:
    """Runs the statements of one program, with the interpreter of its expressions, which holds its names."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.source = interpreter.source
        self.pending: list[Returned] = []
        """What is returned on only one of the ways that data may take."""
        self.loops: list[Loop] = []
        """The loops around the statement that is run, the innermost last."""

    def run(self, body: Sequence[ast.stmt]) -> Any:
        """Run a program and return what it returns."""
        returned = self.block(body)
        assert isinstance(returned, Returned)  # the grammar asks for a return on every way
        for early in self.pending:
            if not same_form(early.value, returned.value):
                ways = (early.node, early.value), (returned.node, returned.value)
                raise disagreement(self.source, None, "what is returned", *ways)
        return returned.value

    def block(self, body: Sequence[ast.stmt]) -> Ended:
        """Run statements; return what ends them before their end."""
        for statement in body:
            self.interpreter.budget.spend(self.source, statement)
            check_time(partial(self.source.span, statement), self.interpreter.engine.trail.notes)
            method = getattr(self, f"_run_{type(statement).__name__}")
            ended: Ended = method(statement)
            if ended is not None:
                return ended
        return None

    def _run_Pass(self, node: ast.Pass) -> None:
        return None

    def _run_Break(self, node: ast.Break) -> Left:
        return Left(node)

    def _run_Continue(self, node: ast.Continue) -> Left:
        return Left(node)

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

    def _run_If(self, node: ast.If) -> Ended:
        try:
            decided = self.interpreter.truth(node.test, self.interpreter.value(node.test))
        except DependsOnData:
            return self._both_ways(node)
        return self.block(node.body if decided else node.orelse)

    def _both_ways(self, node: ast.If) -> Ended:
        """Run both branches of an `if` that depends on data, and keep what they agree on."""
        before = self._way()
        first = self.block(node.body)
        after_first = self._way()
        self._go_back(before)
        second = self.block(node.orelse)
        if isinstance(first, Returned) and isinstance(second, Returned):
            if not same_form(first.value, second.value):
                ways = (first.node, first.value), (second.node, second.value)
                raise disagreement(self.source, node.test, "what is returned", *ways)
            return first
        if first is not None:
            self._end(first, after_first, node.test)
            return second
        if second is not None:
            self._end(second, self._way(), node.test)
            self._go_back(after_first)
            return None
        self.interpreter.names = merge(self.source, node.test, after_first, self._way())
        return None

    def _end(self, ended: Returned | Left, way: Branch, test: ast.expr) -> None:
        """Note a way that ends here, while another one goes on."""
        if isinstance(ended, Returned):
            self.pending.append(ended)
        elif isinstance(ended.node, ast.Break):
            self.loops[-1].behind.append((way, test))
        else:
            self.loops[-1].next_turn.append((way, test))

    def _way(self) -> Branch:
        return Branch(dict(self.interpreter.names), dict(self.interpreter.places))

    def _go_back(self, way: Branch) -> None:
        self.interpreter.names, self.interpreter.places = dict(way.names), dict(way.places)

    def _run_While(self, node: ast.While) -> Ended:
        loop = self._enter(node.test)
        ended: Ended = None
        goes_on = True
        try:
            while goes_on and self.interpreter.truth(node.test, self.interpreter.value(node.test)):
                ended, goes_on = self._turn(loop, node.body)
        except DependsOnData:
            self._loop_of_data(node)
        return self._leave(loop, ended, goes_on)

    def _run_For(self, node: ast.For) -> Ended:
        loop = self._enter(node.iter)
        ended: Ended = None
        goes_on = True
        for item in self.interpreter.items(node.iter, self.interpreter.value(node.iter)):
            self.interpreter.bind(node.target, item)
            ended, goes_on = self._turn(loop, node.body)
            if not goes_on:
                break
        return self._leave(loop, ended, goes_on)

    def _enter(self, place: ast.expr) -> Loop:
        self.loops.append(Loop(place))
        return self.loops[-1]

    def _turn(self, loop: Loop, body: Sequence[ast.stmt]) -> tuple[Ended, bool]:
        """Run the body of a loop once; return how it ended, and whether any way goes on with the next turn."""
        ended = self.block(body)
        if ended is None and not loop.next_turn:
            return None, True  # there is one way, and it is here
        ways, loop.next_turn = loop.next_turn, []
        here = (self._way(), loop.place)
        if ended is None or (isinstance(ended, Left) and isinstance(ended.node, ast.Continue)):
            ways.append(here)
        elif isinstance(ended, Left):
            loop.behind.append(here)
        if ways and isinstance(ended, Returned):
            self.pending.append(ended)
        self._join(ways)
        return (None if ways else ended), bool(ways)

    def _leave(self, loop: Loop, ended: Ended, goes_on: bool) -> Ended:
        """Go on behind a loop with all ways that lead there; return what is returned if none does."""
        self.loops.pop()
        ways = [*loop.behind, *([(self._way(), loop.place)] if goes_on else [])]
        if not ways:
            return ended
        if isinstance(ended, Returned):
            self.pending.append(ended)
        self._join(ways)
        return None

    def _join(self, ways: Sequence[tuple[Branch, ast.expr]]) -> None:
        """Go on with what several ways agree on."""
        if not ways:
            return
        self._go_back(ways[-1][0])
        for way, test in ways[:-1]:
            self.interpreter.names = merge(self.source, test, way, self._way())

    def _loop_of_data(self, node: ast.While) -> None:
        """Run the body of a data-dependent loop once: what it changes must keep its shape and dtype."""
        before = self._way()
        ended = self.block(node.body)
        if isinstance(ended, Returned):
            self.pending.append(ended)
        loop = self.loops[-1]
        ways = [*loop.behind, *loop.next_turn, (self._way(), node.test)]
        loop.behind, loop.next_turn = [], []
        self._join([(before, node.test), *ways])
        for name, value in self.interpreter.names.items():
            if isinstance(value, Undecided) and not isinstance(before.names.get(name, value), Undecided):
                raise refuse(
                    "undecided-value",
                    f"`{name}` is {show(before.names[name])}, which is no tensor, and this loop changes it",
                    self.source.span(self.interpreter.places.get(name, node.test)),
                    labels=(Label(self.source.span(node.test), "data decides how often"),),
                    help=f"make it a tensor in front of the loop: `{name} = full((), {show(before.names[name])})`",
                )
