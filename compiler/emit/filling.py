"""Tensors that are filled alike and reached by their names: one statement, or one loop over the names."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

from compiler.emit.names import RESERVED
from compiler.emit.syntax import assign, call, load_name, own
from compiler.emit.trees import copy_with, form
from spec_schema.walk import walk

TENSOR = "tensor"
"""The name of the tensor in the statements that fill it."""
FEWEST = 3
"""So many names that count up are written as a loop over the numbers."""


@dataclass(frozen=True)
class Named:
    """A tensor that a class reaches by its name, with the statements that fill it."""

    path: str
    is_parameter: bool
    body: list[ast.stmt]

    @cached_property
    def form(self) -> Hashable:
        """Equal for tensors that are filled alike."""
        return self.is_parameter, form(self.body)


def as_loops(found: Sequence[Named | list[ast.stmt]]) -> list[ast.stmt]:
    """Return the statements, those that do the same by name in one place: the first one's."""
    groups: dict[Hashable, list[Named]] = {}
    for each in found:
        if isinstance(each, Named):
            groups.setdefault(each.form, []).append(each)
    result: list[ast.stmt] = []
    for each in found:
        if not isinstance(each, Named):
            result += each
        elif each.form in groups:
            result += _written(groups.pop(each.form))
    return _merged(result)


def _written(group: Sequence[Named]) -> list[ast.stmt]:
    """Return the statements that fill tensors alike."""
    first, left = group[0], [each.path for each in group]
    result: list[ast.stmt] = []
    while (row := _longest_row(left)) is not None:
        written = row.paths
        left = [path for path in left if path not in written]
        result.append(row.loop(first))
    if len(left) < FEWEST and len(first.body) == 1:
        return result + [each for path in left for each in _alone(first, path)]
    if len(left) == 1:
        return result + _alone(first, left[0])
    names = ast.Tuple([ast.Constant(path) for path in left], ast.Load())
    body = with_tensor(first, load_name("name"), TENSOR)
    return result + ([ast.For(ast.Name("name", ast.Store()), names, body, [])] if left else [])


def _alone(named: Named, path: str) -> list[ast.stmt]:
    return with_tensor(named, ast.Constant(path), path.rpartition(".")[2])


def _merged(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return statements, loops over the same numbers that follow each other in one."""
    result: list[ast.stmt] = []
    for each in statements:
        last = result[-1] if result else None
        if isinstance(each, ast.For) and isinstance(last, ast.For) and _head(each) == _head(last):
            last.body += each.body
        else:
            result.append(each)
    return result


def _head(loop: ast.For) -> str:
    return f"{ast.unparse(loop.target)} {ast.unparse(loop.iter)}"


def with_tensor(named: Named, path: ast.expr, local: str) -> list[ast.stmt]:
    """Return the statements over the tensor of a name: bound first if they read it more than once."""
    reached = call(own("get_parameter" if named.is_parameter else "get_buffer"), path)
    names = [n.id for s in named.body for n in walk(s) if isinstance(n, ast.Name)]
    if names.count(TENSOR) == 1:
        return [copy_with(each, TENSOR, reached) for each in named.body]
    name = local if local.isidentifier() and local not in {*RESERVED, *names} else TENSOR
    return [assign(name, reached), *copy_with(named.body, TENSOR, load_name(name))]


@dataclass(frozen=True)
class _Row:
    """Paths in one of whose components a number counts up."""

    before: tuple[str, ...]
    behind: tuple[str, ...]
    start: int
    count: int

    @property
    def paths(self) -> set[str]:
        numbers = range(self.start, self.start + self.count)
        return {".".join([*self.before, str(number), *self.behind]) for number in numbers}

    def loop(self, named: Named) -> ast.stmt:
        """Return the loop over the numbers."""
        bounds = [self.start, self.start + self.count] if self.start else [self.count]
        texts = ".".join([*self.before, ""]), ".".join(["", *self.behind])
        number = ast.FormattedValue(load_name("index"), -1, None)
        parts = [ast.Constant(texts[0]), number, ast.Constant(texts[1])]
        path = ast.JoinedStr(parts if texts[0] else parts[1:])
        over = call("range", *map(ast.Constant, bounds))
        return ast.For(ast.Name("index", ast.Store()), over, with_tensor(named, path, TENSOR), [])


def _longest_row(paths: Sequence[str]) -> _Row | None:
    """Return the most paths that count up in one component, None if they are fewer than a loop is for."""
    numbers: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    for parts in (tuple(path.split(".")) for path in paths):
        for at, part in enumerate(parts):
            if part.isdigit():
                numbers.setdefault((parts[:at], parts[at + 1 :]), []).append(int(part))
    rows = [_Row(*key, found[0], _run(found)) for key, found in numbers.items()]
    longest = max(rows, key=lambda row: row.count, default=None)
    return longest if longest is not None and longest.count >= FEWEST else None


def _run(numbers: Sequence[int]) -> int:
    """Return how many numbers count up by one from the first."""
    return next((at for at, number in enumerate(numbers) if number != numbers[0] + at), len(numbers))


def is_no_grad(statement: ast.stmt) -> TypeGuard[ast.With]:
    """Return whether a statement is a block without gradient."""
    return isinstance(statement, ast.With)
