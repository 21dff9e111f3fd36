"""The names of values in a program: the author's where they are free."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Collection, Container, Iterator, Mapping

from runtime.importing.expressions import Expressions, Words, picked, same_structure
from runtime.importing.programs import Program
from runtime.importing.records import Structure, Value, values_in
from runtime.importing.spoken import spoken


class Names(Expressions):
    """Gives values names, and takes them back when nothing reads them any more."""

    def __init__(self, program: Program, words: Words) -> None:
        super().__init__(program, words)
        self.inputs: list[str] = []
        self.held: dict[str, set[int]] = {}
        """The values that the name of a whole tuple or dict stands for."""
        self.env: dict[str, int] = {}

    def name_inputs(self) -> None:
        for name, value in self.program.inputs.items():
            free = self.free(name, set())
            self.names[id(value)] = free
            self.env[free] = id(value)
            self.inputs.append(free)

    def set_aside(self, result: Structure, later: set[int], now: Collection[int] = ()) -> Iterator[ast.stmt]:
        """Yield an assignment that keeps a value whose name is taken by another, where the author made one.

        `now` are the values that make the result, `later` those that are read behind it.
        """
        for value in values_in(result):
            wanted = next(iter(map(_clean, value.names)), None)
            held = self.env.get(wanted or "")
            if wanted is None or held is None or held not in later or wanted in self.words.reserved:
                continue
            other = self.value(held)
            aside = [
                each
                for each in map(_clean, other.names)
                if each != wanted and self.is_free(each, later | {*now})
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
        if isinstance(result, Mapping):
            return self.whole_target(result, later)
        return ast.Name("_")

    def whole_target(self, result: Mapping[str, Structure], later: set[int]) -> ast.Name:
        """Return a name for a whole dict, of which the program reads parts."""
        name = self.free("outputs", later)
        for value in values_in(result):
            self.parts[id(value)] = picked(ast.Name(name), result, value)
        self.held[name] = {id(value) for value in values_in(result)}
        return ast.Name(name)

    def whole_name(self, result: Structure, later: set[int]) -> str | None:
        """Return a name for a tuple whose items the program only hands on, all together."""
        if (
            not isinstance(result, tuple)
            or len(result) < 2
            or not all(isinstance(each, Value) for each in result)
        ):
            return None
        used = [
            *_tuples([[list(each.args), each.kwargs] for each in self.program.calls]),
            *_tuples(self.program.result),
        ]
        count = sum(same_structure(each, result) for each in used)
        if not count or not result[0].wholes or any(self.uses.get(id(each)) != count for each in result):
            return None
        name = self.free(_clean(result[0].wholes[0]), later)
        self.wholes[id(result[0])] = (name, result)
        self.held[name] = {id(each) for each in result}
        return name

    def name_for(self, value: Value, later: set[int]) -> str:
        for name in map(_clean, value.names):
            if self.is_free(name, later):
                return name
        return self.free(_clean(value.names[0]) if value.names else "y", later)

    def is_free(self, name: str, later: set[int]) -> bool:
        held = {self.env.get(name), *self.held.get(name, ())}
        return name not in self.words.reserved and not held & later

    def free(self, name: str, later: set[int]) -> str:
        name = _clean(name)
        number, found = 1, name
        while not self.is_free(found, later):
            number, found = number + 1, f"{name}{number}"
        return found


def _tuples(structure: Structure) -> Iterator[tuple[Structure, ...]]:
    """Yield the tuples in a structure, also those in others."""
    if isinstance(structure, Mapping):
        structure = list(structure.values())
    if isinstance(structure, tuple):
        yield structure
    if isinstance(structure, tuple | list):
        for each in structure:
            yield from _tuples(each)


def aliases_of(layers: Collection[str], functions: Container[str]) -> dict[str, str]:
    """Return what programs call layers whose names are none of Python's, or those of operations that they call."""
    found: dict[str, str] = {}
    for name in layers:
        alias = spoken(name)
        if alias in functions:
            alias = f"{alias}_layer"
        if alias != name:
            found[name] = _free(alias, {*layers, *found.values()})
    return found


def _free(name: str, taken: Container[str]) -> str:
    free, number = name, 1
    while free in taken:
        number, free = number + 1, f"{name}{number + 1}"
    return free


def _clean(name: str) -> str:
    name = name.strip("_") or "y"
    name = name if name.isidentifier() else f"y{name}"
    return f"{name}1" if keyword.iskeyword(name) or name == "training" else name
