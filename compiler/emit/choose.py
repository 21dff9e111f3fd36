"""How an inferred value is written: as the argument that always equals it, as a literal, or as a new argument."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.emit.expressions import copy_tree
from compiler.emit.groups import ClassGroup
from compiler.emit.names import unused
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
    """A loop over copies. `columns` are values that differ from copy to copy, by the name they got."""

    variable: str
    copies: int | None
    """The number of copies, if it is the same wherever the loop runs."""
    columns: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(eq=False)
class Candidate:
    """An expression that a value may equal, with its Python form."""

    python: ast.expr
    values: Mapping[int, object]
    """By the identity of the case."""


Pairs = list[tuple[Any, Case]]


@dataclass(eq=False)
class Chooser:
    """Chooses the expressions of one class.

    A value is looked for from the inside out: what differs in the innermost loop is written over its number, with
    parts that the loops around it give, or in the end the arguments of the constructor. `depth` counts the loops
    that an expression may still use.
    """

    group: ClassGroup
    taken: set[str]
    bound: set[str]
    """Names of local values of the constructor, those of its arguments among them."""
    local: Callable[[str], str] = str
    """What a constructor calls a value."""
    loops: list[Loop] = field(default_factory=list)
    """The loops around the position, outermost first."""

    def choose(
        self, values: Sequence[Any], cases: Sequence[Case], candidates: Sequence[Candidate], wanted: str
    ) -> ast.expr:
        """Return an expression that has the given value in each case."""
        pairs = list(zip(values, cases, strict=True))
        return self._chosen(pairs, candidates, wanted, len(self.loops))

    def fresh(self, wanted: str) -> str:
        """Return a name for a local value that no other one in scope has, and take it."""
        title = unused(wanted, self.bound)
        self.taken.add(title)
        self.bound.add(title)
        return title

    def _chosen(self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int) -> ast.expr:
        return self._known(pairs, candidates) or self._varied(pairs, candidates, wanted, depth)

    def _known(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return an expression that is there already, a literal, or a multiple of a name."""
        return self._candidate(pairs, candidates) or self._literal(pairs) or self._multiple(pairs, candidates)

    def _candidate(
        self, pairs: Pairs, candidates: Sequence[Candidate], small: int = SMALL
    ) -> ast.expr | None:
        varied = len({_plain(value) for value, _ in pairs}) > 1
        if not varied and isinstance(pairs[0][0], int) and abs(pairs[0][0]) < small:
            return None
        alone = len({case.position for _, case in pairs}) == 1
        for candidate in candidates:
            if alone and self.loops and not isinstance(candidate.python, ast.Name):
                continue  # one copy proves nothing
            if all(_same(candidate.values.get(id(case)), value) for value, case in pairs):
                chosen: ast.expr = copy_tree(candidate.python)
                return chosen
        return None

    def _multiple(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
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

    def _literal(self, pairs: Pairs) -> ast.expr | None:
        first = pairs[0][0]
        return literal(first) if all(_same(value, first) for value, _ in pairs) else None

    def _varied(self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int) -> ast.expr:
        """Return an expression for a value that differs from copy to copy, or from instance to instance."""
        if depth == 0:
            return name(
                self.group.extra(self.local(wanted), {case.state: value for value, case in pairs}, self.taken)
            )
        if not _differs_by_position(pairs, depth):
            return self._varied(pairs, candidates, wanted, depth - 1)
        return (
            self._first_or_rest(pairs, candidates, wanted, depth)
            or self._affine(pairs, candidates, wanted, depth)
            or self._listed(pairs, wanted, depth)
            or self._indexed(pairs, wanted, depth)
        )

    def _first_or_rest(
        self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int
    ) -> ast.expr | None:
        start = min(case.position[depth - 1] for _, case in pairs)
        first = [pair for pair in pairs if pair[1].position[depth - 1] == start]
        rest = [pair for pair in pairs if pair[1].position[depth - 1] > start]
        two = self._known(rest, candidates) if rest else None
        if two is None:
            return None
        one = self._chosen(first, candidates, wanted, depth - 1)
        index = name(self.loops[depth - 1].variable)
        if {_truth(one), _truth(two)} == {True, False}:
            operator = ast.Eq() if _truth(one) else ast.Gt()
            return ast.Compare(index, [operator], [ast.Constant(start)])
        return ast.IfExp(ast.Compare(index, [ast.Eq()], [ast.Constant(start)]), one, two)

    def _affine(
        self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int
    ) -> ast.expr | None:
        """Return `a + b * index`, as where each copy adds channels."""
        if not all(type(value) is int for value, _ in pairs):
            return None
        rows = _rows(pairs, depth)
        steps = {key: row[1] - row[0] for key, row in rows.items() if 0 in row and 1 in row}
        if rows.keys() != steps.keys():
            return None
        if any(v != row[0] + at * steps[key] for key, row in rows.items() for at, v in row.items()):
            return None
        growths = [(steps[_outer(case, depth)], case) for _, case in pairs]
        growth = self._candidate(growths, candidates, SMALLEST_STEP) or self._literal(growths)
        if growth is None:
            return None
        firsts = [(rows[_outer(case, depth)][0], case) for _, case in pairs]
        start = self._chosen(firsts, candidates, wanted, depth - 1)
        return ast.BinOp(
            start, ast.Add(), ast.BinOp(name(self.loops[depth - 1].variable), ast.Mult(), growth)
        )

    def _listed(self, pairs: Pairs, wanted: str, depth: int) -> ast.expr | None:
        """Return a column of the loop, or `[64, 256, 128][index]` where it does not always make as many copies."""
        table: dict[int, Any] = {}
        for value, case in pairs:
            if not _same(table.setdefault(case.position[depth - 1], value), value):
                return None
        loop = self.loops[depth - 1]
        if loop.copies is not None:
            return name(self._column(loop, wanted, [table.get(at) for at in range(loop.copies)]))
        return item_of(literal([table.get(at) for at in range(max(table) + 1)]), name(loop.variable))

    def _column(self, loop: Loop, wanted: str, values: list[Any]) -> str:
        """Return the name of a column with these values, added if there is none yet."""
        for title, known in loop.columns.items():
            if known == values:
                return title
        used = {*self.taken, *self.bound, *(title for each in self.loops for title in each.columns)}
        title = unused(self.local(wanted), used)
        loop.columns[title] = values
        return title

    def _indexed(self, pairs: Pairs, wanted: str, depth: int) -> ast.expr:
        """Return an item of a list that the loops around give, or in the end an argument of the constructor."""
        lists = {key: [row.get(at) for at in range(max(row) + 1)] for key, row in _rows(pairs, depth).items()}
        outer = [(lists[_outer(case, depth)], case) for _, case in pairs]
        listed = self._chosen(outer, [], f"{wanted}_list", depth - 1)
        return item_of(listed, name(self.loops[depth - 1].variable))


Outer = tuple[BlockState, tuple[int, ...]]
"""An instance, and a position in the loops around a loop."""


def _outer(case: Case, depth: int) -> Outer:
    return case.state, case.position[: depth - 1]


def _rows(pairs: Pairs, depth: int) -> dict[Outer, dict[int, Any]]:
    """Return the values of one loop by the number of the copy, for each position in the loops around it."""
    rows: dict[Outer, dict[int, Any]] = {}
    for value, case in pairs:
        rows.setdefault(_outer(case, depth), {})[case.position[depth - 1]] = value
    return rows


def _is_multiple(value: object, of: object, factor: int) -> bool:
    return type(value) is int and type(of) is int and value == factor * of


def _differs_by_position(pairs: Pairs, depth: int) -> bool:
    """Say whether a value differs between the copies of one loop."""
    first: dict[Outer, Any] = {}
    return any(not _same(first.setdefault(_outer(case, depth), value), value) for value, case in pairs)


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b


def _truth(expression: ast.expr) -> bool | None:
    """Return what `True` or `False` says; None for any other expression."""
    value = expression.value if isinstance(expression, ast.Constant) else None
    return value if isinstance(value, bool) else None
