"""Transfers between devices in emitted source: `x.to(self.decoder.weight.device)`, where some instance needs one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from compiler.emit.keys import as_attributes
from compiler.emit.syntax import assign, call, load_name
from compiler.emit.trees import copy_tree
from compiler.placement.groups import ClassGroup, group_key
from compiler.placement.transfers import Follow, Move, Slot, Transfers, layer_input, position

RELAY = "Relay"
"""The name of the class of layers in a row that are on several devices."""

RELAY_SOURCE = '''
class Relay(nn.Sequential):
    """Layers in a row, on several devices: in front of those at the places `moves` the value moves to them."""

    def __init__(self, *layers: object, moves: tuple[int, ...]) -> None:
        super().__init__(*layers)
        self.moves = moves

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self):
            if place in self.moves:
                x = x.to([*layer.parameters(), *layer.buffers(), x][0].device)
            x = layer(x)
        return x
'''


class ClassTransfers:
    """The moves in one class. `translate` makes an expression of a program one of the class."""

    def __init__(
        self, moves: Transfers, group: ClassGroup, translate: Callable[[ast.expr], ast.expr]
    ) -> None:
        self.moves = moves
        self.key = group_key(group.states[0])
        self.translate = translate

    def value(self, node: ast.AST, made: ast.expr) -> ast.expr:
        """Return an expression of the program with its move, if it has one."""
        if not self.moves.slots or not isinstance(node, ast.expr):
            return made
        return self._moved(Slot(self.key, "value", position(node)), made)

    def layer(self, at: int, made: ast.expr, number: int = 0) -> ast.expr:
        """Return an input of a layer with its move; `at` is the place of the layer in the running order."""
        return self._moved(Slot(self.key, "layer", layer_input(at, number)), made)

    def results(self, made: Sequence[ast.expr]) -> list[ast.expr]:
        """Return the values that are combined, each with its move."""
        return [self._moved(Slot(self.key, "result", at), value) for at, value in enumerate(made)]

    def has(self, kind: str) -> bool:
        """Say whether anything moves at a slot of a kind."""
        return any(s.group == self.key and s.kind == kind for s, m in self.moves.slots.items() if m.routes)

    def inputs(self, names: Sequence[tuple[str, str]]) -> list[ast.stmt]:
        """Return the statements that move the inputs of a block, which are given with their local names."""
        statements: list[ast.stmt] = []
        for name, local in names:
            move = self.moves.move(Slot(self.key, "input", name))
            if move is None:
                continue
            statement: ast.stmt = assign(local, self._to(move, load_name(local)))
            if move.optional:
                given = ast.Compare(load_name(local), [ast.IsNot()], [ast.Constant(None)])
                statement = ast.If(given, [statement], [])
            statements.append(statement)
        return statements

    def _moved(self, slot: Slot, made: ast.expr) -> ast.expr:
        move = self.moves.move(slot)
        return self._to(move, made) if move is not None else made

    def _to(self, move: Move, made: ast.expr) -> ast.expr:
        device = ast.Attribute(self._follow(move.follow, made), "device", ast.Load())
        if move.form == "tensor":
            return call(ast.Attribute(made, "to", ast.Load()), device)
        each = call(ast.Attribute(load_name("each"), "to", ast.Load()), device)
        items = ast.ListComp(each, [ast.comprehension(ast.Name("each", ast.Store()), made, [], 0)])
        return call("tuple", items) if move.form == "tuple" else items

    def _follow(self, follow: Follow, value: ast.expr) -> ast.expr:
        tree: ast.expr = copy_tree(as_attributes(ast.parse(follow.text, mode="eval").body))
        tree = tree if follow.own else self.translate(tree)
        if not follow.layer:
            return tree
        return call("next", call(ast.Attribute(tree, "parameters", ast.Load())), copy_tree(value))
