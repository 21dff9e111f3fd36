"""The head of a loop over copies: `for index, (width, in_channels) in enumerate([...])`, with what its body needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from compiler.emit.annotations import annotation_of
from compiler.emit.candidates import choose
from compiler.emit.choose import Case, Loop
from compiler.emit.dependence import is_stepped
from compiler.emit.literals import literal
from compiler.emit.scope import ConstructorScope
from compiler.emit.syntax import annotated, assign, call, load_name
from compiler.emit.trees import names_in
from compiler.infer.arguments import evaluate_value
from compiler.infer.values import holds_recipe
from compiler.program import Repeat
from compiler.resolve.copies import INDEX
from compiler.resolve.values import free_names, is_type
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.walk import walk


class LoopHead:
    """One loop. `renamed` are the names that it binds, with what they are called in the source."""

    def __init__(self, scope: ConstructorScope, node: Repeat, cases: Sequence[Case]) -> None:
        self.scope, self.node, self.cases = scope, node, cases
        scope.file.runs.check_unbound(node.names, scope.group.definition)
        self.values = [evaluate_value(node.over, case.values, node.scope, DEFAULT_LIMITS) for case in cases]
        counts = {value if isinstance(value, int) else len(value) for value in self.values}
        self.copies = counts.pop() if len(counts) == 1 else None
        self.depth = len(scope.chooser.loops)
        self.variable = self._variable()
        self.names = [self._own(name) for name in node.names]
        self.running = {each.name: self._own(each.name) for each in node.running}
        """What the running values are called in the source."""
        self.renamed: dict[str, ast.expr] = {
            node.index: load_name(self.variable),
            **dict(zip(node.names, map(load_name, self.names), strict=True)),
            **{name: load_name(local) for name, local in self.running.items()},
        }
        self.carried: dict[str, str] = {}
        """Those of them that anything reads."""
        self.over = self._over()
        bound = frozenset([*self.names, *self.running.values()])
        self.loop = Loop(node, self.variable, self.copies, names=bound, renumbers=node.index == INDEX)

    def _variable(self) -> str:
        if self.node.index != INDEX:
            return self._own(self.node.index)
        depth = sum(loop.node.index == INDEX for loop in self.scope.chooser.loops)
        wanted = f"{INDEX}_{depth + 1}" if depth else INDEX
        while wanted in self.scope.chooser.bound:
            wanted += "_"
        return wanted

    def _own(self, name: str) -> str:
        """Return what a name of the loop is called: a statement would change what bears the name around it."""
        local = self.scope.local(name)
        around = names_in(*self.scope.translator.renamed.values()) if self.scope.sink is not None else set()
        return self.scope.local_name(name) if local in around else local

    def written(self, body: Sequence[ast.AST], is_statement: bool = False) -> tuple[ast.expr, ast.expr]:
        """Return the target of the loop and what it goes over, with what the body reads of that."""
        read = names_in(*body)
        if self.variable not in read:
            self._hand_on(body)
        names, over, columns = self.names, self.over, self.loop.columns
        if columns:
            names = names if read & set(names) else []
            over = self._with_columns(len(names))
        unread = "_{}" if is_statement else "{}"
        targets: list[ast.expr] = [_target(t if t in read else unread.format(t)) for t in names]
        if len(targets) > 1 and isinstance(over, ast.Call):  # rows, zipped with columns
            targets = [ast.Tuple(targets, ast.Store())]
        targets += map(_target, columns)
        counter = _target(self.variable)
        if not targets:
            return (counter if self.variable in read else _target("_")), call("range", over)
        row = targets[0] if len(targets) == 1 else ast.Tuple(targets, ast.Store())
        if self.variable not in read:
            return row, over
        return ast.Tuple([counter, row], ast.Store()), call("enumerate", over)

    # Running values.

    def updates(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Return the statements at the end of the body that compute the running values of the next copy."""
        made = {each.name: self.scope.expression(each.after) for each in self.node.running}
        while unread := [n for n in made if not self._is_read(n, [*body, *_others(made, n)])]:
            made = {name: each for name, each in made.items() if name not in unread}
        self.carried = {name: self.running[name] for name in made}
        pairs = [(self.running[name], each) for name, each in made.items()]
        stored = [local for local, _ in pairs]
        if not any(names_in(each) & set(stored[:at]) for at, (_, each) in enumerate(pairs)):
            return [assign(local, each) for local, each in pairs]
        targets, values = ast.Tuple([*map(load_name, stored)], ast.Load()), [each for _, each in pairs]
        return [assign(targets, ast.Tuple(values, ast.Load()))]

    def _is_read(self, name: str, parts: Sequence[ast.AST]) -> bool:
        return self.running[name] in names_in(*parts)

    def starts(self) -> list[ast.stmt]:
        """Return the statements in front of the loop that begin its running values."""
        firsts = {each.name: self.scope.expression(each.first) for each in self.node.running}
        return [self._start(name, local, firsts[name]) for name, local in self.carried.items()]

    def _start(self, name: str, local: str, first: ast.expr) -> ast.stmt:
        rows = (self.scope.file.builder.bindings(self.node, case.values) for case in self.cases)
        values = [row[name] for found in rows for row in found]
        mixed = len(set(map(type, values))) > 1
        note = annotation_of(values, any_list=True) if mixed else None
        return assign(local, first) if note is None else annotated(local, note, first)

    def leave(self) -> None:
        """Let what is written behind the loop read its running values."""
        if self.scope.chooser.loops:
            return
        builder, chooser = self.scope.file.builder, self.scope.chooser
        ends = [(case.state, builder.behind(self.node, case.values)) for case in self.cases]
        for each in self.node.running:
            if each.name in self.carried:
                local = self.carried[each.name]
                chooser.left[local] = {state: end[each.name] for state, end in ends}
                chooser.stepped |= {local} if is_stepped(each.first) or is_stepped(each.after) else set()

    def _hand_on(self, body: Sequence[ast.AST]) -> None:
        """Let the loops inside use the name of this one, which counts nothing, where the spec names none of them."""
        if not self.loop.renumbers:
            return
        names = {self.depth: self.variable, **self.loop.inner}
        renamed = {name: names[depth - 1] for depth, name in names.items() if depth > self.depth}
        for node in (n for part in body for n in walk(part)):
            if isinstance(node, ast.Name):
                node.id = renamed.get(node.id, node.id)

    def _with_columns(self, names: int) -> ast.expr:
        """Return the rows of the loop with more columns: as literals where the rows are literals, else zipped."""
        columns: Mapping[str, list[Any]] = self.loop.columns
        added = list(zip(*columns.values(), strict=True))
        if not names:
            return literal([row[0] if len(row) == 1 else row for row in added])
        try:
            written = ast.literal_eval(self.over)
        except ValueError:
            return call("zip", self.over, *map(literal, columns.values()), strict=ast.Constant(True))
        return literal(
            [(*(row if names > 1 else (row,)), *more) for row, more in zip(written, added, strict=True)]
        )

    def _over(self) -> ast.expr:
        """Return what the loop goes over: rows for the names of `as`, else the number of copies."""
        values = self.values
        # Without these names nothing differs from instance to instance.
        read = free_names(self.node.over)
        differs = bool(read & self.scope.visible)
        # A list of layers that only counts the copies is not written.
        layers = holds_recipe(values[0]) or any(is_type(each, self.node.scope) for each in read)
        if not self.names and self.copies is not None and (layers or not differs):
            return literal(self.copies)
        if not self.names and len({isinstance(value, int) for value in values}) > 1:
            counts = [value if isinstance(value, int) else len(value) for value in values]
            return choose(self.scope, counts, self.cases, "copies")
        expression = self.scope.expression(self.node.over)
        if not self.names:
            return expression if isinstance(values[0], int) else call("len", expression)
        if not differs:
            expression = literal(list(values[0]) if isinstance(values[0], tuple) else values[0])
        if isinstance(expression, ast.List) and all(value == values[0] for value in values):
            return literal([tuple(row) for row in values[0]] if len(self.names) > 1 else list(values[0]))
        return expression


@contextmanager
def inside_loop(scope: ConstructorScope, node: Repeat, cases: Sequence[Case]) -> Iterator[LoopHead]:
    """Enter a loop over copies: what is written meanwhile may read what the loop binds."""
    head, around = LoopHead(scope, node, cases), scope.chooser.loops
    for each in around:
        each.inner[head.depth] = head.variable
        each.renumbers &= node.index == INDEX
    with scope.binding(head.renamed):
        around.append(head.loop)
        yield head
        around.pop()


def _others(made: Mapping[str, ast.expr], name: str) -> list[ast.expr]:
    return [each for other, each in made.items() if other != name]


def _target(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())
