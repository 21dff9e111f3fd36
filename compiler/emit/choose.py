"""How an inferred value is written: as the argument that always equals it, as a literal, or as a new argument."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.emit.expressions import copy_tree
from compiler.emit.groups import ClassGroup
from compiler.emit.syntax import index as item_of
from compiler.emit.syntax import literal, name
from compiler.infer.states import BlockState

SMALL = 8
"""A size below this may equal an argument by chance, so one instance alone proves nothing."""

SMALLEST_STEP = 2
"""What each copy adds is seldom equal to an argument by chance."""
ENOUGH = 3
"""Fewer different sizes may all be multiples of an argument by chance."""
FACTORS = (2, 3, 4, 6, 8)
"""The multiples of an argument that an inferred size is compared with."""


@dataclass(frozen=True, eq=False)
class Case:
    """One instance in which a position of the source occurs: the block, and the values of its names there."""

    state: BlockState
    values: Mapping[str, object]
    position: tuple[int, ...] = ()
    """The number of the copy, for each repeat around the position."""


@dataclass(eq=False)
class Loop:
    """A comprehension over copies. `columns` are values that differ from copy to copy, by the name they got."""

    variable: str
    copies: int | None
    """The number of copies, if it is the same in every instance."""
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def column(self, wanted: str, values: list[Any], taken: set[str]) -> str:
        """Return the name of a column with these values, added if there is none yet."""
        for title, known in self.columns.items():
            if known == values:
                return title
        title, number = wanted, 2
        while title in self.columns or title in taken:
            title, number = f"{wanted}_{number}", number + 1
        self.columns[title] = values
        return title


@dataclass(eq=False)
class Candidate:
    """An expression that a value may equal, with its Python form."""

    python: ast.expr
    values: Mapping[int, object]
    """By the identity of the case."""


@dataclass(eq=False)
class Chooser:
    """Chooses the expressions of one class."""

    group: ClassGroup
    taken: set[str]
    loops: list[Loop] = field(default_factory=list)
    """The loops around the position, outermost first."""

    def choose(
        self, values: Sequence[Any], cases: Sequence[Case], candidates: Sequence[Candidate], wanted: str
    ) -> ast.expr:
        """Return an expression that has the given value in each case."""
        pairs = list(zip(values, cases, strict=True))
        return (
            self._candidate(pairs, candidates)
            or self._literal(pairs)
            or self._multiple(pairs, candidates)
            or self._by_position(pairs, candidates, wanted)
            or self._extra(pairs, wanted)
        )

    def _candidate(
        self, pairs: list[tuple[Any, Case]], candidates: Sequence[Candidate], small: int = SMALL
    ) -> ast.expr | None:
        varied = len({_plain(value) for value, _ in pairs}) > 1
        if not varied and isinstance(pairs[0][0], int) and abs(pairs[0][0]) < small:
            return None
        for candidate in candidates:
            if all(_same(candidate.values.get(id(case)), value) for value, case in pairs):
                chosen: ast.expr = copy_tree(candidate.python)
                return chosen
        return None

    def _multiple(self, pairs: list[tuple[Any, Case]], candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return `4 * width` where several instances with different sizes agree on it."""
        if len({_plain(value) for value, _ in pairs}) < ENOUGH:
            return None
        for candidate in candidates:
            if not isinstance(candidate.python, ast.Name):
                continue
            for factor in FACTORS:
                if all(_is_multiple(value, candidate.values.get(id(case)), factor) for value, case in pairs):
                    return ast.BinOp(ast.Constant(factor), ast.Mult(), copy_tree(candidate.python))
        return None

    def _literal(self, pairs: list[tuple[Any, Case]]) -> ast.expr | None:
        first = pairs[0][0]
        return literal(first) if all(_same(value, first) for value, _ in pairs) else None

    def _by_position(
        self, pairs: list[tuple[Any, Case]], candidates: Sequence[Candidate], wanted: str
    ) -> ast.expr | None:
        """Return an expression over the number of the copy, for a value that differs from copy to copy."""
        if not self.loops or not _differs_by_position(pairs):
            return None
        return (
            self._first_or_rest(pairs, candidates, wanted)
            or self._affine(pairs, candidates, wanted)
            or self._listed(pairs, wanted)
        )

    def _first_or_rest(
        self, pairs: list[tuple[Any, Case]], candidates: Sequence[Candidate], wanted: str
    ) -> ast.expr | None:
        first = [pair for pair in pairs if pair[1].position[-1] == 0]
        rest = [pair for pair in pairs if pair[1].position[-1] > 0]
        if not first or not rest:
            return None
        one = self._candidate(first, candidates) or self._literal(first)
        two = self._candidate(rest, candidates) or self._literal(rest)
        if two is None:
            return None
        if one is None:
            one = self._extra(first, wanted)
        index = name(self.loops[-1].variable)
        if {_truth(one), _truth(two)} == {True, False}:
            return ast.Compare(index, [ast.Eq() if _truth(one) else ast.Gt()], [ast.Constant(0)])
        return ast.IfExp(ast.Compare(index, [ast.Eq()], [ast.Constant(0)]), one, two)

    def _affine(
        self, pairs: list[tuple[Any, Case]], candidates: Sequence[Candidate], wanted: str
    ) -> ast.expr | None:
        """Return `a + b * index`, as where each copy adds channels."""
        if not all(type(value) is int for value, _ in pairs):
            return None
        rows: dict[BlockState, dict[int, int]] = {}
        for value, case in pairs:
            rows.setdefault(case.state, {})[case.position[-1]] = value
        steps = {state: row[1] - row[0] for state, row in rows.items() if 0 in row and 1 in row}
        if len(steps) != len(rows):
            return None
        if any(v != row[0] + at * steps[s] for s, row in rows.items() for at, v in row.items()):
            return None
        firsts = [(rows[case.state][0], case) for _, case in pairs]
        growths = [(steps[case.state], case) for _, case in pairs]
        start = self._candidate(firsts, candidates) or self._literal(firsts) or self._extra(firsts, wanted)
        growth = self._candidate(growths, candidates, SMALLEST_STEP) or self._literal(growths)
        if growth is None:
            return None
        return ast.BinOp(start, ast.Add(), ast.BinOp(name(self.loops[-1].variable), ast.Mult(), growth))

    def _listed(self, pairs: list[tuple[Any, Case]], wanted: str) -> ast.expr | None:
        """Return a column of the loop, or `[64, 256, 128][index]` where instances have other numbers of copies."""
        table: dict[int, Any] = {}
        for value, case in pairs:
            if not _same(table.setdefault(case.position[-1], value), value):
                return None
        loop = self.loops[-1]
        row = [table.get(at) for at in range(max(table) + 1)]
        if loop.copies == len(row):
            return name(loop.column(wanted, row, self.taken))
        return item_of(literal(row), name(loop.variable))

    def _extra(self, pairs: list[tuple[Any, Case]], wanted: str) -> ast.expr:
        """Return a new argument of the constructor; a list of them where copies differ."""
        values: dict[BlockState, object] = {}
        varying = False
        for value, case in pairs:
            if not _same(values.setdefault(case.state, value), value):
                varying = True
        if not varying:
            return name(self.group.extra(wanted, values, self.taken))
        rows: dict[BlockState, dict[int, Any]] = {}
        for value, case in pairs:
            rows.setdefault(case.state, {})[case.position[-1]] = value
        lists: dict[BlockState, object] = {
            s: [row.get(at) for at in range(max(row) + 1)] for s, row in rows.items()
        }
        return item_of(
            name(self.group.extra(f"{wanted}_list", lists, self.taken)), name(self.loops[-1].variable)
        )


def _is_multiple(value: object, of: object, factor: int) -> bool:
    return type(value) is int and type(of) is int and value == factor * of


def _differs_by_position(pairs: list[tuple[Any, Case]]) -> bool:
    """Say whether a value differs between the copies of one instance."""
    first: dict[tuple[int, tuple[int, ...]], Any] = {}
    return any(
        not _same(first.setdefault((id(case.state), case.position[:-1]), value), value)
        for value, case in pairs
        if case.position
    )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b


def _truth(expression: ast.expr) -> bool | None:
    """Return what `True` or `False` says; None for any other expression."""
    value = expression.value if isinstance(expression, ast.Constant) else None
    return value if isinstance(value, bool) else None
