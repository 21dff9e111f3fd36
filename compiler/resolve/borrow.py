"""Lists that run a layer of the block around them.

Such a list holds its own items alone; where it is called, its items are called one by one, each layer by its own
name. So a layer has one name, whoever runs it.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from compiler.program import Item, Reuse
from spec_schema.diagnostics import Diagnostic
from spec_schema.grammar import Program
from spec_schema.source import Span
from spec_schema.walk import walk

Steps = tuple[str | int, ...]
"""What a list runs, in order: a layer of the block by its name, or an item of its own by its place."""


def borrows(items: Iterable[Item]) -> bool:
    """Return whether a list runs a layer that is not its own."""
    items = list(items)
    own = {item.name for item in items}
    return any(isinstance(item.node, Reuse) and item.node.name not in own for item in items)


def split(items: Sequence[Item]) -> tuple[tuple[Item, ...], Steps] | None:
    """Return the own items of a list, and what it runs; None if one of them stands for several layers."""
    own: list[Item] = []
    steps: list[str | int] = []
    for position, item in enumerate(items):
        if item.is_spread or item.label is not None:
            return None
        if not isinstance(item.node, Reuse):
            moved = None if position == len(own) else str(position)
            steps.append(len(own))
            own.append(Item(item.name or moved, item.node, item.span))
            continue
        places = [at for at, each in enumerate(own) if each.name == item.node.name]
        steps.append(places[0] if places else item.node.name)
    return tuple(own), tuple(steps)


@dataclass(frozen=True, eq=False)
class ImpliedProgram(Program):
    """A program that nobody wrote: the layers of a block in their order. Its places are those of the layers."""

    places: Mapping[str, Span] = field(default_factory=dict)

    def span(self, node: ast.AST) -> Span:
        names = [each.id for each in walk(node) if isinstance(each, ast.Name) and each.id in self.places]
        return self.places[names[0]] if names else self.scalar.span


class _WriteOut(ast.NodeTransformer):
    """Replaces the calls of borrowing lists by calls of what they run."""

    def __init__(self, lists: Mapping[str, Steps]) -> None:
        self.lists = lists
        self.other_uses: list[ast.Name] = []

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if not isinstance(function, ast.Name) or function.id not in self.lists:
            return self.generic_visit(node)
        value: ast.expr = node.args[0] if len(node.args) == 1 and not node.keywords else node
        if value is node:
            self.other_uses.append(function)
            return node
        return ast.fix_missing_locations(self._run(function.id, self.visit(value), node))

    def _run(self, name: str, value: ast.expr, place: ast.Call) -> ast.expr:
        """Return the calls of what a list runs, other such lists among it."""
        for step in self.lists[name]:
            if isinstance(step, str) and step in self.lists:
                value = self._run(step, value, place)
            else:
                value = ast.copy_location(ast.Call(self._layer(name, step), [value], []), place)
        return value

    def _layer(self, name: str, step: str | int) -> ast.expr:
        if isinstance(step, str):
            return ast.Name(step, ast.Load())
        return ast.Subscript(ast.Name(name, ast.Load()), ast.Constant(step), ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.lists:
            self.other_uses.append(node)
        return node


def write_out(program: Program, lists: Mapping[str, Steps], problems: list[Diagnostic]) -> Program:
    """Return a program in which borrowing lists are called item by item."""
    writer = _WriteOut(lists)
    body = tuple(writer.visit(copy.deepcopy(statement)) for statement in program.body)
    for node in writer.other_uses:
        problems.append(
            Diagnostic(
                "borrowed-layer",
                f"`{node.id}` runs layers of this block, so it can only be called with one input",
                program.span(node),
                help="name the items as layers of the block, and call those",
            )
        )
    return replace(program, body=body)


def in_order(names: Sequence[str], flow: str, model: Program) -> Program:
    """Return the program that runs layers in order; `model` gives the places."""
    calls = [ast.Call(ast.Name(name, ast.Load()), [ast.Name(flow, ast.Load())], []) for name in names]
    steps: list[ast.stmt] = [ast.Assign([ast.Name(flow, ast.Store())], call) for call in calls[:-1]]
    body = [ast.fix_missing_locations(step) for step in [*steps, ast.Return(calls[-1])]]
    return replace(model, body=tuple(body))
