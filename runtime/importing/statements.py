"""From a program to its text in the language."""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from runtime.importing.leaves import is_list, tensors_of_base
from runtime.importing.programs import Literal, Program
from runtime.importing.records import Call, Structure, Value, values_in

LONGEST = 88
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
    reserved: frozenset[str] = frozenset()
    """Names that no value may have: those of layers, tensors and arguments."""


def program_text(program: Program, words: Words) -> tuple[list[str], str]:
    """Return the names of the inputs of a program, and its text."""
    writer = _Writer(program, words)
    lines = [
        line for each in merged(writer.statements(), program.updated()) for line in statement_lines(each)
    ]
    if program.in_training is not None:
        inside = _Writer(program.in_training, words).statements()
        training = [
            f"  {line}" for each in merged(inside, program.updated()) for line in statement_lines(each)
        ]
        lines = ["if training:", *training, *lines]
    return writer.inputs, "\n".join(lines) + "\n"


def statement_lines(statement: ast.stmt) -> list[str]:
    """Return the lines of a statement, two columns to a level."""
    found = re.sub(r"(\d)e-0(\d)", r"\1e-\2", statement_text(statement)).split("\n")
    return [f"{' ' * ((len(line) - len(line.lstrip())) // 2)}{line.lstrip()}" for line in found]


def statement_text(statement: ast.stmt) -> str:
    """Return the text of a statement; several results stand without parentheses."""
    if (
        isinstance(statement, ast.Return)
        and isinstance(statement.value, ast.Tuple)
        and len(statement.value.elts) > 1
    ):
        items = [ast.unparse(ast.fix_missing_locations(each)) for each in statement.value.elts]
        return f"return {', '.join(items)}"
    return ast.unparse(ast.fix_missing_locations(statement))


class _Writer:
    def __init__(self, program: Program, words: Words) -> None:
        self.program, self.words = program, words
        self.producer = {id(value): call for call in program.calls for value in values_in(call.result)}
        self.uses: dict[int, int] = {}
        for value in program.own_values():
            self.uses[id(value)] = self.uses.get(id(value), 0) + 1
        self.inlined = {id(call) for call in program.calls if self.is_inlined(call)}
        self.keep_order()
        self.inputs: list[str] = []
        self.names: dict[int, str] = {}
        self.env: dict[str, int] = {}

    # --- what becomes a statement ------------------------------------------------------------------

    def is_inlined(self, call: Call) -> bool:
        """Return whether a call stands where its result is used."""
        if call.target.form in ("loop", "update") or (call.target.effect and call.target.module is None):
            return False
        if call.target.form == "attribute" and call.target.name == "dtype":
            return True
        named = [each for each in values_in(call.result) if each.names and self.uses.get(id(each))]
        if isinstance(call.result, Value):
            value = call.result
            cheap = value.number is not None or call.target.form == "item"
            return (not value.names and (cheap or self.uses[id(value)] == 1)) or (
                cheap and self.uses[id(value)] == 1
            )
        if call.target.name in ("shape", "size"):
            return len(named) < 2 and all(self.uses[id(each)] < 2 for each in named)
        used = [each for each in values_in(call.result) if self.uses.get(id(each))]
        whole = not named and same_structure(self.program.result, call.result)
        return whole or (len(used) == 1 and not used[0].names and self.uses[id(used[0])] == 1)

    def keep_order(self) -> None:
        """Let nothing that reads a buffer stand where it is used, if the buffer has a new value by then."""
        updates = _updates(self.program.calls)
        last = {
            id(value): number
            for number, call in enumerate(self.program.calls)
            for value in values_in((call.args, call.kwargs))
        }
        last |= {id(value): len(self.program.calls) for value in values_in(self.program.result)}
        held: dict[int, set[str]] = {}
        for number, call in enumerate(self.program.calls if updates else ()):
            reads: set[str] = set().union(
                *(held.get(id(each), ()) for each in values_in((call.args, call.kwargs)))
            )
            reads |= {each.path for each in values_in((call.args, call.kwargs)) if each.kind == "state"}
            if call.target.form == "update":
                held[id(call.result)] = {call.target.name}
            elif id(call) in self.inlined:
                used = max((last.get(id(each), number) for each in values_in(call.result)), default=number)
                if any(number < at < used for path in reads for at in updates.get(path, ())):
                    self.inlined.discard(id(call))
                else:
                    held |= {id(each): reads for each in values_in(call.result)}

    def statements(self) -> list[ast.stmt]:
        kept = [call for call in self.program.calls if id(call) not in self.inlined]
        read = [self.read_by((call.args, call.kwargs)) for call in kept] + [self.read_by(self.program.result)]
        self.name_inputs()
        made: list[ast.stmt] = []
        for number, call in enumerate(kept):
            later = set().union(*read[number + 1 :])
            made += self.statement(call, later)
        made.append(ast.Return(self.expression(self.program.result)))
        return made

    def read_by(self, structure: Structure) -> set[int]:
        """Return the values that stand by name in an expression."""
        found: set[int] = set()
        for value in values_in(structure):
            call = self.producer.get(id(value))
            if call is not None and id(call) in self.inlined:
                found |= self.read_by((call.args, call.kwargs))
            else:
                found.add(id(value))
        return found

    def statement(self, call: Call, later: set[int]) -> Iterator[ast.stmt]:
        """Yield what a call is written as; `later` are the values that are still read behind it."""
        if call.target.form == "loop":
            yield from self.loop(call, later)
            return
        if call.target.form == "update":
            self.names[id(call.result)] = call.target.name
            yield ast.Assign([ast.Name(call.target.name)], self.expression(call.args[0]))
            return
        value = self.call(call)
        yield from self.set_aside(call.result, later)
        target = self.targets(call.result, later)
        if (
            isinstance(target, ast.Tuple)
            and all(_is_blank(each) for each in target.elts[1:])
            and len(target.elts) > 1
        ):
            target, value = target.elts[0], ast.Subscript(value, ast.Constant(0), ast.Load())
        yield ast.Assign([target], value)

    def loop(self, call: Call, later: set[int]) -> Iterator[ast.stmt]:
        carried = self.expression(call.args[0])
        yield from self.set_aside(call.result, later | {id(each) for each in values_in(call.args[1:])})
        others = [self.expression(each) for each in call.args[1:]]
        named = [ast.keyword(key, self.expression(each)) for key, each in call.kwargs.items()]
        target = self.targets(
            call.result, later | {id(each) for each in values_in((call.args[1:], call.kwargs))}
        )
        assert isinstance(target, ast.Name)
        if not isinstance(carried, ast.Name) or carried.id != target.id:
            yield ast.Assign([target], carried)
        item = self.free(self.words.items.get(call.target.name) or "layer", later)
        step = ast.Call(ast.Name(item), [ast.Name(target.id), *others], named)
        yield ast.For(ast.Name(item), self.module(call.target.name), [ast.Assign([target], step)], [])

    # --- names -------------------------------------------------------------------------------------

    def name_inputs(self) -> None:
        for name, value in self.program.inputs.items():
            free = self.free(name, set())
            self.names[id(value)] = free
            self.env[free] = id(value)
            self.inputs.append(free)

    def set_aside(self, result: Structure, later: set[int]) -> Iterator[ast.stmt]:
        """Yield an assignment that keeps a value whose name is taken by another, where the author made one."""
        for value in values_in(result):
            wanted = next(iter(map(_clean, value.names)), None)
            held = self.env.get(wanted or "")
            if wanted is None or held is None or held not in later or wanted in self.words.reserved:
                continue
            other = self.value(held)
            aside = [
                each for each in map(_clean, other.names) if each != wanted and self.is_free(each, later)
            ]
            if aside:
                yield ast.Assign([ast.Name(aside[0])], ast.Name(self.names[held]))
                self.names[held] = aside[0]
                self.env[aside[0]] = held
                del self.env[wanted]

    def value(self, identity: int) -> Value:
        return next(each for each in self.all_values() if id(each) == identity)

    def all_values(self) -> Iterator[Value]:
        yield from self.program.inputs.values()
        for call in self.program.calls:
            yield from values_in(call.result)

    def targets(self, result: Structure, later: set[int]) -> ast.expr:
        if isinstance(result, Value):
            if not self.uses.get(id(result)):
                return ast.Name("_")
            name = self.name_for(result, later)
            self.names[id(result)] = name
            self.env[name] = id(result)
            return ast.Name(name)
        if isinstance(result, tuple | list):
            return ast.Tuple([self.targets(each, later) for each in result], ast.Store())
        return ast.Name("_")

    def name_for(self, value: Value, later: set[int]) -> str:
        for name in map(_clean, value.names):
            if self.is_free(name, later):
                return name
        return self.free(_clean(value.names[0]) if value.names else "y", later)

    def is_free(self, name: str, later: set[int]) -> bool:
        return name not in self.words.reserved and self.env.get(name) not in later

    def free(self, name: str, later: set[int]) -> str:
        name = _clean(name)
        number, found = 1, name
        while not self.is_free(found, later):
            number, found = number + 1, f"{name}{number}"
        return found

    # --- expressions -------------------------------------------------------------------------------

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
        return ast.List(items) if isinstance(structure, list) else ast.Tuple(items)

    def items(self, structure: Sequence[Structure]) -> list[ast.expr]:
        """Return the expressions of items, the last sizes of a tensor in a row as `*x.shape[1:]`."""
        for start in range(len(structure) - 1):
            call, first = self.sizes_at(structure[start])
            if call is not None and first is not None and len(structure) - start == len(call.result) - first:
                rest = structure[start:]
                if all(one is other for one, other in zip(rest, call.result[first:], strict=True)):
                    shape: ast.expr = self.call(call)
                    if first:
                        shape = ast.Subscript(shape, ast.Slice(ast.Constant(first)), ast.Load())
                    return [*map(self.expression, structure[:start]), ast.Starred(shape)]
        return [self.expression(each) for each in structure]

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
        call = self.producer.get(id(first)) if isinstance(first, Value) else None
        if call is not None and id(call) in self.inlined and same_structure(structure, call.result):
            return self.call(call)
        return None

    def value_expression(self, value: Value) -> ast.expr:
        if value.kind == "attribute":
            return self.attribute(value)
        if value.kind == "state":
            return self.module(value.path)
        call = self.producer.get(id(value))
        if call is None or id(call) not in self.inlined:
            return ast.Name(self.names[id(value)])
        found = self.call(call)
        return found if call.result is value else _picked(found, call.result, value)

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
        found: ast.expr = ast.Name(said(first))
        if path in tensors_of_base(self.program.module):
            return ast.Attribute(ast.Name("base"), path, ast.Load())
        at: Any = getattr(self.program.module, first)
        for name in rest:
            if (is_list(at) or isinstance(at, nn.ParameterList)) and name.isdigit():
                found = ast.Subscript(found, ast.Constant(int(name)), ast.Load())
            else:
                found = ast.Attribute(found, name, ast.Load())
            at = getattr(at, name)
        return found


def _updates(calls: Sequence[Call]) -> dict[str, list[int]]:
    """Return where buffers have new values from: the numbers of calls."""
    found: dict[str, list[int]] = {}
    for number, call in enumerate(calls):
        if call.target.form == "update":
            found.setdefault(call.target.name, []).append(number)
        elif call.target.effect and call.target.module is None:
            read = [each for each in values_in((call.args, call.kwargs)) if each.kind == "state"]
            for value in read:
                found.setdefault(value.path, []).append(number)
    return found


def same_structure(first: Structure, second: Structure) -> bool:
    """Return whether two structures are nests of the same values in the same order."""
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(same_structure(one, other) for one, other in pairs)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return list(first) == list(second) and all(same_structure(first[key], second[key]) for key in first)
    return first is second and isinstance(first, Value)


def _picked(found: ast.expr, result: Structure, value: Value) -> ast.expr:
    """Return the part of a result that a value is."""
    parts = result.items() if isinstance(result, Mapping) else enumerate(result)
    for key, each in parts:
        if any(inside is value for inside in values_in(each)):
            part = ast.Subscript(found, ast.Constant(key), ast.Load())
            return part if each is value else _picked(part, each, value)
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


def _is_blank(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "_"


def said(layer: str) -> str:
    """Return what a program calls a layer: another name than its own, where that is no name of Python's."""
    if layer.isidentifier() and not keyword.iskeyword(layer):
        return layer
    name = re.sub(r"\W", "_", layer)
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"layer{name}"


def _clean(name: str) -> str:
    name = name.strip("_") or "y"
    return f"{name}1" if keyword.iskeyword(name) or name == "training" else name


def merged(statements: list[ast.stmt], kept: set[str]) -> list[ast.stmt]:
    """Return statements in which `x = a(x)` and `x = b(x)` in a row are `x = b(a(x))` where that is short.

    `kept` are buffers, to which an assignment does something.
    """
    found: list[ast.stmt] = []
    for statement in statements:
        joined = _joined(found[-1], statement, kept) if found else None
        if joined is not None:
            found[-1] = joined
        else:
            found.append(statement)
    return found


def _joined(first: ast.stmt, second: ast.stmt, kept: set[str]) -> ast.stmt | None:
    if not isinstance(first, ast.Assign) or not isinstance(first.targets[0], ast.Name):
        return None
    name = first.targets[0].id
    if name in kept:
        return None
    again = isinstance(second, ast.Assign) and ast.dump(second.targets[0]) == ast.dump(first.targets[0])
    if not (again or isinstance(second, ast.Return)):
        return None
    assert isinstance(second, ast.Assign | ast.Return)
    loads = [
        each for each in ast.walk(second.value or second) if isinstance(each, ast.Name) and each.id == name
    ]
    if len(loads) != 1 or not _is_simple(first.value, second):
        return None
    value = _Substitution(name, first.value).visit(
        ast.parse(ast.unparse(second.value or second), mode="eval").body
    )
    made = ast.Assign(second.targets, value) if isinstance(second, ast.Assign) else ast.Return(value)
    text = ast.unparse(ast.fix_missing_locations(made))
    return made if len(text) <= LONGEST else None


def _is_simple(value: ast.expr, second: ast.stmt) -> bool:
    """Return whether an expression may stand within the next one and be read easily."""
    return not isinstance(value, ast.Compare | ast.Tuple)


class _Substitution(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node
