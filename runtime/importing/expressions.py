"""From calls and values to expressions of the language."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from runtime.importing.leaves import is_list, tensors_of_base
from runtime.importing.programs import Literal, Program
from runtime.importing.records import Call, Structure, Value, values_in
from runtime.importing.spoken import spoken

_BINARY: dict[str, type[ast.operator]] = {
    **{"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "//": ast.FloorDiv, "%": ast.Mod},
    **{"**": ast.Pow, "@": ast.MatMult, "&": ast.BitAnd, "|": ast.BitOr, "^": ast.BitXor},
    **{"<<": ast.LShift, ">>": ast.RShift},
}
_COMPARED: dict[str, type[ast.cmpop]] = {
    **{">": ast.Gt, "<": ast.Lt, ">=": ast.GtE, "<=": ast.LtE, "==": ast.Eq, "!=": ast.NotEq}
}
_UNARY: dict[str, type[ast.unaryop]] = {"-": ast.USub, "~": ast.Invert}


@dataclass(frozen=True)
class Words:
    """What the numbers of a program are called in its block: literals by their place, attributes by their name."""

    literals: Mapping[int, str] = field(default_factory=dict)
    attributes: Mapping[str, ast.expr] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    """What a loop over a list calls its layers, by the path of the list."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What programs call layers whose names are those of operations that they call."""
    reserved: frozenset[str] = frozenset()
    """Names that no value may have: those of layers, tensors and arguments."""


class Expressions:
    """Writes what is computed in a program, by the names that its values have."""

    def __init__(self, program: Program, words: Words) -> None:
        self.program, self.words = program, words
        self.producer = {id(value): call for call in program.calls for value in values_in(call.result)}
        self.uses: dict[int, int] = {}
        for value in program.own_values():
            self.uses[id(value)] = self.uses.get(id(value), 0) + 1
        self.inlined: set[int] = set()
        """Calls that stand where their results are used."""
        self.names: dict[int, str] = {}
        self.parts: dict[int, ast.expr] = {}
        """How a value is written that is a part of a dict."""
        self.wholes: dict[int, tuple[str, Structure]] = {}
        """The name of a tuple, and the tuple, by its first item."""

    def expression(self, structure: Structure) -> ast.expr:
        if isinstance(structure, Value):
            return self.value_expression(structure)
        if isinstance(structure, Literal):
            name = self.words.literals.get(structure.place)
            return ast.Name(name) if name is not None else number(structure.number)
        if isinstance(structure, slice):
            parts = (structure.start, structure.stop, structure.step)
            return ast.Slice(*(None if each is None else self.expression(each) for each in parts))
        if isinstance(structure, Mapping):
            call = self.producer.get(id(next(values_in(structure), None)))
            if call is not None and id(call) in self.inlined and same_structure(structure, call.result):
                return self.call(call)
            keys = [ast.Constant(key) for key in structure]
            return ast.Dict(list(keys), [self.expression(each) for each in structure.values()])
        if isinstance(structure, tuple | list):
            return self.display(structure)
        return constant(structure)

    def display(self, structure: Sequence[Structure]) -> ast.expr:
        whole = self.whole(structure)
        if whole is not None:
            return whole
        items = self.items(structure)
        if len(items) == 1 and isinstance(items[0], ast.Starred):
            return items[0].value
        return ast.List(items) if isinstance(structure, list) else ast.Tuple(items)

    def items(self, structure: Sequence[Structure]) -> list[ast.expr]:
        """Return the expressions of items, the last sizes of a tensor in a row as `*x.shape[1:]`."""
        for start in range(len(structure) - 1):
            call, first = self.sizes_at(structure[start])
            if call is None or first is None:
                continue
            pairs = zip(structure[start:], call.result[first:], strict=False)
            count = len(list(takewhile(lambda pair: pair[0] is pair[1], pairs)))
            if count > 1:
                before, after = structure[:start], structure[start + count :]
                sizes = ast.Starred(self.sizes(call, first, first + count))
                return [*map(self.expression, before), sizes, *self.items(after)]
        return [self.expression(each) for each in structure]

    def sizes(self, call: Call, first: int, end: int) -> ast.expr:
        """Return the expression of sizes of a tensor in a row."""
        shape, count = self.call(call), len(call.result)
        if first == 0 and end == count:
            return shape
        start, stop = ast.Constant(first) if first else None, ast.Constant(end) if end < count else None
        return ast.Subscript(shape, ast.Slice(start, stop), ast.Load())

    def sizes_at(self, item: Structure) -> tuple[Call | None, int | None]:
        """Return the call that read a size together with the others of its tensor, and which dimension it is."""
        call = self.producer.get(id(item)) if isinstance(item, Value) else None
        if call is None or id(call) not in self.inlined or not isinstance(call.result, tuple):
            return None, None
        if call.target.name not in ("shape", "size"):
            return None, None
        return call, next(number for number, each in enumerate(call.result) if each is item)

    def whole(self, structure: Structure) -> ast.expr | None:
        """Return the call whose whole result a structure is, if it stands where it is used."""
        first = structure[0] if structure else None
        if id(first) in self.wholes and same_structure(structure, self.wholes[id(first)][1]):
            return ast.Name(self.wholes[id(first)][0])
        call = self.producer.get(id(first)) if isinstance(first, Value) else None
        if call is not None and call.target.form == "item" and id(call) in self.inlined:
            return self.parts_of(structure, call.args[0])
        if call is not None and id(call) in self.inlined and same_structure(structure, call.result):
            return self.call(call)
        return None

    def parts_of(self, structure: Sequence[Structure], whole: Structure) -> ast.expr | None:
        """Return a tuple that was given whole, if a structure is all of its items."""
        if not isinstance(whole, Value) or whole.parts != len(structure):
            return None
        for place, each in enumerate(structure):
            call = self.producer.get(id(each)) if isinstance(each, Value) else None
            if call is None or call.target.form != "item" or call.args[0] is not whole:
                return None
            if not isinstance(call.args[1], Literal) or call.args[1].number != place:
                return None
        return self.value_expression(whole)

    def value_expression(self, value: Value) -> ast.expr:
        if value.kind == "attribute":
            return self.attribute(value)
        if value.kind == "state":
            return self.module(value.path)
        call = self.producer.get(id(value))
        if id(value) in self.parts:
            return self.parts[id(value)]
        if call is None or id(call) not in self.inlined:
            return ast.Name(self.names[id(value)])
        found = self.call(call)
        return found if call.result is value else picked(found, call.result, value)

    def attribute(self, value: Value) -> ast.expr:
        found = self.words.attributes.get(value.path)
        return found if found is not None else number(value.number if value.number is not None else 0)

    def call(self, call: Call) -> ast.expr:
        target, args = call.target, call.args
        if target.form == "operator":
            return _operator(target.name, [self.expression(each) for each in args])
        if target.form == "attribute":
            return ast.Attribute(self.expression(args[0]), target.name, ast.Load())
        if target.form == "item":
            return ast.Subscript(self.expression(args[0]), self.index(args[1]), ast.Load())
        named = [ast.keyword(key, self.expression(each)) for key, each in call.kwargs.items()]
        if target.name == "size" and len(args) == 2:
            shape = ast.Attribute(self.expression(args[0]), "shape", ast.Load())
            return ast.Subscript(shape, self.expression(args[1]), ast.Load())
        if target.form == "method":
            function: ast.expr = ast.Attribute(self.expression(args[0]), target.name, ast.Load())
            return ast.Call(function, self.items(args[1:]), named)
        if target.form == "module":
            return ast.Call(self.module(target.name), self.items(args), named)
        function = ast.parse(target.name, mode="eval").body
        return ast.Call(function, [self.expression(each) for each in args], named)

    def index(self, index: Structure) -> ast.expr:
        if isinstance(index, tuple) and index:
            return ast.Tuple([self.expression(each) for each in index])
        return self.expression(index)

    def module(self, path: str) -> ast.expr:
        """Return how a program reaches what has a dotted path: items of lists by their numbers."""
        first, *rest = path.split(".")
        found: ast.expr = ast.Name(self.words.aliases.get(first, first))
        if path in tensors_of_base(self.program.module):
            return ast.Attribute(ast.Name("base"), path, ast.Load())
        at: Any = getattr(self.program.module, first)
        for name in rest:
            if (is_list(at) or isinstance(at, nn.ParameterList)) and name.isdigit():
                found = ast.Subscript(found, ast.Constant(int(name)), ast.Load())
            else:
                found = ast.Attribute(found, spoken(name), ast.Load())
            at = getattr(at, name)
        return found


def same_structure(first: Structure, second: Structure) -> bool:
    """Return whether two structures are nests of the same values in the same order."""
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(same_structure(one, other) for one, other in pairs)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return list(first) == list(second) and all(same_structure(first[key], second[key]) for key in first)
    return first is second and isinstance(first, Value)


def picked(found: ast.expr, result: Structure, value: Value) -> ast.expr:
    """Return the part of a result that a value is."""
    parts = result.items() if isinstance(result, Mapping) else enumerate(result)
    for key, each in parts:
        if any(inside is value for inside in values_in(each)):
            part = ast.Subscript(found, ast.Constant(key), ast.Load())
            return part if each is value else picked(part, each, value)
    raise LookupError("a value is no part of the result that it comes from")


def _operator(symbol: str, operands: list[ast.expr]) -> ast.expr:
    if len(operands) == 1:
        return ast.UnaryOp(_UNARY[symbol](), operands[0])
    if symbol in _COMPARED:
        return ast.Compare(operands[0], [_COMPARED[symbol]()], operands[1:])
    return ast.BinOp(operands[0], _BINARY[symbol](), operands[1])


def number(value: int | float) -> ast.expr:
    """Return the expression of a number."""
    if isinstance(value, float) and math.isinf(value):
        inf: ast.expr = ast.Name("inf")
        return inf if value > 0 else ast.UnaryOp(ast.USub(), inf)
    if value < 0:
        return ast.UnaryOp(ast.USub(), number(-value))
    return ast.Constant(value)


def constant(value: object) -> ast.expr:
    """Return the expression of what is no number: a dtype, a text, a truth value, None, an ellipsis."""
    if isinstance(value, torch.dtype):
        return ast.Name(str(value).removeprefix("torch."))
    return ast.Constant(value)  # type: ignore[arg-type]
