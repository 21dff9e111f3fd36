"""The expressions that an inferred value may equal: what a class can say of its arguments and of the copies around."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compiler.emit.choose import Candidate, Case
from compiler.emit.dependence import is_stepped
from compiler.emit.scope import ConstructorScope
from compiler.emit.syntax import call, index, load_name
from compiler.emit.trees import copy_tree
from compiler.infer.values import holds_recipe
from compiler.program import Repeat, ValueTree
from compiler.resolve.copies import INDEX
from compiler.resolve.values import free_names
from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import FUNCTIONS, evaluate
from spec_schema.grammar import Expression

if TYPE_CHECKING:
    import torch

Values = Mapping[str, Any]
ENDS = (0, -1)
"""The items of a list that are compared with a value."""


def choose(scope: ConstructorScope, values: Sequence[Any], cases: Sequence[Case], wanted: str) -> ast.expr:
    """Return the expression for values that inference found."""
    scope.file.runs.confirm(cases)
    return scope.chooser.choose(values, cases, Candidates(scope, cases).all, wanted)


def choose_dtype(scope: ConstructorScope, dtypes: Sequence[torch.dtype], cases: Sequence[Case]) -> ast.expr:
    """Return the expression for a dtype that rules give."""
    scope.file.names.used.add("torch")
    return choose(scope, dtypes, cases, "dtype")


class Candidates:
    """The candidates at one position of a class, in the instances `cases`, the plainest first."""

    def __init__(self, scope: ConstructorScope, cases: Sequence[Case]) -> None:
        self.scope, self.cases = scope, cases
        self.lifted = scope.file.runs.visible(scope.group.definition)

    def all(self) -> list[Candidate]:
        """Return all of them."""
        return [*self._names(), *self._written(), *self._items(), *self._of_copies()]

    def _names(self) -> Iterator[Candidate]:
        chooser = self.scope.chooser
        for name, after in chooser.left.items():
            values = {id(case): after.get(case.state) for case in self.cases}
            yield Candidate(load_name(name), values, name in chooser.stepped)
        stepped = {name for name, tree in self.scope.computed.items() if is_stepped(tree)}
        running = (each for loop in chooser.loops for each in loop.node.running)
        stepped |= {each.name for each in running if is_stepped(each.first) or is_stepped(each.after)}
        for name in sorted(self._visible_names(), key=lambda name: name in self.lifted):
            python = self.scope.expression_of_name(name)
            values = {id(case): case.values.get(name) for case in self.cases}
            yield Candidate(python, values, name in stepped)
        yield from self._handed_on()

    def _handed_on(self) -> Iterator[Candidate]:
        """Yield the variables of the spec that the class gets for others."""
        runs = self.scope.file.runs
        for name, local in self.scope.group.variables.items():
            if name not in self.lifted:
                yield Candidate(
                    load_name(local), {id(c): runs.variable_in(c.state, name) for c in self.cases}
                )

    def _visible_names(self) -> list[str]:
        """Return the names that are visible, what is computed last first: it has what was corrected on the way."""
        computed = {name: -at for at, name in enumerate(self.scope.computed)}
        counters = {INDEX, *(loop.node.index for loop in self.scope.chooser.loops)}
        return sorted(self.scope.visible - counters, key=lambda name: (computed.get(name, 0), name))

    def _written(self) -> Iterator[Candidate]:
        readable = {*self.scope.visible, *self.scope.translator.literals, *FUNCTIONS}
        for expression in self._expressions():
            if free_names(expression) <= readable:
                python = self.scope.translator.translate(expression.tree)
                yield Candidate(python, {id(case): attempt(expression, case.values) for case in self.cases})

    def _expressions(self) -> list[Expression]:
        """Return the expressions of the class that are more than a name."""
        return self.scope.computed_expressions

    # Items of lists.

    def _items(self) -> Iterator[Candidate]:
        for name in self._visible_names():
            if all(_is_list(case.values.get(name)) for case in self.cases):
                for at in ENDS:
                    python = index(
                        self.scope.expression_of_name(name), ast.Constant(at) if at >= 0 else _minus(-at)
                    )
                    yield Candidate(python, {id(c): _item(c.values[name], at) for c in self.cases})

    # What copies are given, in the one before, and in the last of copies that come before.

    def _of_copies(self) -> Iterator[Candidate]:
        if self.scope.chooser.loops:
            loop = self.scope.chooser.loops[-1]
            counter = load_name(loop.variable)
            before = ast.BinOp(counter, ast.Sub(), ast.Constant(1))
            yield from self._indexed(counter, 0)
            yield from self._indexed(before, -1)
            yield from self._seen_from(
                loop.node, before, lambda case, rows: _row(rows, case.position[-1] - 1)
            )
        else:
            for node in self.scope.group.repeats:
                if free_names(node.over) <= {*self.scope.visible, *FUNCTIONS}:
                    yield from self._seen_from(
                        node, self._last(node), lambda _, rows: _row(rows, len(rows) - 1)
                    )

    def _indexed(self, at: ast.expr, shift: int) -> Iterator[Candidate]:
        """Yield the items of lists at the number of the copy, or of the one before."""
        for name in self._visible_names():
            if all(_is_list(case.values.get(name)) for case in self.cases):
                python = index(self.scope.expression_of_name(name), copy_tree(at))
                values = {id(c): _item(c.values[name], c.position[-1] + shift) for c in self.cases}
                yield Candidate(python, values)

    def _last(self, node: Repeat) -> ast.expr:
        """Return the number of the last copy."""
        over = self.scope.expression(node.over)
        is_count = all(isinstance(_value(node.over, case.values), int) for case in self.cases)
        return ast.BinOp(over if is_count else call("len", over), ast.Sub(), ast.Constant(1))

    def _seen_from(
        self, node: Repeat, at: ast.expr, row_of: Callable[[Case, list[dict[str, Any]]], Values | None]
    ) -> Iterator[Candidate]:
        """Yield the expressions over what another copy binds; `at` is its number."""
        builder = self.scope.file.builder
        copies: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for case in self.cases:
            around = (case.state, case.position[:-1])
            if around not in copies:
                copies[around] = _bindings(builder.bindings, node, case)
        rows = {id(case): row_of(case, copies[case.state, case.position[:-1]]) for case in self.cases}
        renamed = {node.index: at, **self._row_names(node, at)}
        bound = {node.index, *node.names}
        plain = isinstance(self.scope.expression(node.over), ast.Name | ast.Attribute | ast.Subscript)
        readable = {*self._readable(), *bound} - {*(() if plain else node.names)}
        readable -= {each.name for each in node.running}
        for expression in self._bound(node):
            if free_names(expression) & bound and free_names(expression) <= readable:
                with self.scope.renaming(renamed):
                    python = self.scope.translator.translate(expression.tree)
                values = {
                    id(case): attempt(expression, {**case.values, **row})
                    for case in self.cases
                    if (row := rows[id(case)]) is not None
                }
                yield Candidate(python, values)

    def _readable(self) -> set[str]:
        return {*self.scope.visible, *self.scope.translator.literals, *FUNCTIONS}

    def _bound(self, node: Repeat) -> list[Expression]:
        """Return the expressions over what a repeat binds, its names themselves among them."""
        known = self._expressions()
        return [e for e in self.scope.expressions if free_names(e) & {*node.names} and e not in known] + known

    def _row_names(self, node: Repeat, at: ast.expr) -> dict[str, ast.expr]:
        """Return what the names of a repeat are written as for the copy of a number."""
        over = self.scope.expression(node.over)
        if isinstance(at, ast.BinOp) and isinstance(at.left, ast.Call):
            at = _minus(1)
        row = index(over, at)
        if len(node.names) == 1:
            return {node.names[0]: row}
        return {name: index(copy_tree(row), place) for place, name in enumerate(node.names)}


def _bindings(
    bindings: Callable[[Repeat, Values], list[dict[str, Any]]], node: Repeat, case: Case
) -> list[dict[str, Any]]:
    try:
        return bindings(node, case.values)
    except SpecError:
        return []


def _row(rows: list[dict[str, Any]], at: int) -> dict[str, Any] | None:
    return rows[at] if 0 <= at < len(rows) else None


def _minus(number: int) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(number))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) and not holds_recipe(value)


def _item(values: Any, at: int) -> Any:
    return values[at] if -1 <= at < len(values) and values else None


def _value(tree: ValueTree, values: Values) -> object:
    return attempt(tree, values) if isinstance(tree, Expression) else []


def attempt(expression: Expression, values: Values) -> object:
    """Return the value of an expression, None if it has none."""
    try:
        return evaluate(expression, values)
    except SpecError:
        return None
