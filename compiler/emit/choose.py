"""How an inferred value is written: as the argument that always equals it, as a literal, or as a new argument."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

from compiler.emit.literals import literal
from compiler.emit.sums import sum_of
from compiler.emit.syntax import index as item_of
from compiler.emit.syntax import load_name
from compiler.emit.trees import copy_tree, names_in
from compiler.infer.states import BlockState
from compiler.placement.groups import ClassGroup
from compiler.program import Repeat
from spec_schema.names import unused

SMALL = 8
"""A size below this may equal an expression by chance."""
SMALLEST_STEP = 2
"""What each copy adds is seldom equal to an argument by chance."""
ENOUGH = 3
"""Fewer different sizes may all be multiples of an argument by chance, in one run."""
FACTORS = (2, 3, 4, 6, 8)
"""The multiples of an argument that an inferred size is compared with, in one run."""
LARGEST_FACTOR = 4096


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

    node: Repeat
    variable: str
    copies: int | None
    """The number of copies, if it is the same wherever the loop runs."""
    columns: dict[str, list[Any]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    """What it binds for each copy."""
    places: frozenset[Outer] = frozenset()
    """All of its copies, in every instance, if it is a statement and no comprehension."""
    starts: dict[str, ast.expr] = field(default_factory=dict)
    """The values that are set before the loop, of those that are carried from copy to copy."""
    carried: dict[str, Carried] = field(default_factory=dict)
    renumbers: bool = True
    """Whether its number, and those of the loops inside, have no names in the spec."""
    inner: dict[int, str] = field(default_factory=dict)
    """The variables of the loops inside, by the number of loops around each."""


@dataclass(frozen=True, eq=False)
class Carried:
    """A value that one copy leaves to the next: `in_channels = width` at the end of the body."""

    update: ast.expr
    read: Mapping[Outer, Any]
    """Its value in each copy."""
    after: Mapping[BlockState, object]
    """Its value behind the loop, in each instance."""


@dataclass(eq=False)
class Candidate:
    """An expression that a value may equal, with its Python form."""

    python: ast.expr
    values: Mapping[int, object]
    """By the identity of the case."""
    stepped: bool = False
    """Whether it is computed by steps, so that no multiple of it tells what it was computed from."""


Pairs = list[tuple[Any, Case]]
Outer = tuple[BlockState, tuple[int, ...]]
"""An instance, and a position in the loops around a loop."""


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
    confirmed: bool = False
    """Whether the model was inferred at several values of its variables, so that little is equal by chance."""
    is_root: bool = False
    """Whether it is the class of the model, which nobody gives more arguments."""
    loops: list[Loop] = field(default_factory=list)
    """The loops around the position, outermost first."""
    left: dict[str, Mapping[BlockState, object]] = field(default_factory=dict)
    """What loops before have left in a name, in each instance."""
    stepped: set[str] = field(default_factory=set)
    """Those of these names whose values are computed by steps."""

    def choose(
        self,
        values: Sequence[Any],
        cases: Sequence[Case],
        candidates: Callable[[], Sequence[Candidate]],
        wanted: str,
    ) -> ast.expr:
        """Return an expression that has the given value in each case."""
        pairs = list(zip(values, cases, strict=True))
        first = pairs[0][0]
        if isinstance(first, int) and abs(first) < SMALL and all(_same(value, first) for value in values):
            return literal(first)
        return self._chosen(pairs, candidates(), wanted, len(self.loops))

    def fresh(self, wanted: str) -> str:
        """Return a name for a local value that no other one in scope has, and take it."""
        name = unused(wanted, self.bound | self.group.extras.keys())
        self.taken.add(name)
        self.bound.add(name)
        return name

    def _chosen(self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int) -> ast.expr:
        return self._known(pairs, candidates) or self._varied(pairs, candidates, wanted, depth)

    def _known(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return an expression that is there already, a literal, or a multiple of one."""
        return self._candidate(pairs, candidates) or self._literal(pairs) or self._multiple(pairs, candidates)

    def _candidate(
        self, pairs: Pairs, candidates: Sequence[Candidate], small: int = SMALL
    ) -> ast.expr | None:
        """Return an expression that follows the value."""
        found = self._match(pairs, candidates, small)
        return None if found is None else copy_tree(found.python)

    def _match(self, pairs: Pairs, candidates: Sequence[Candidate], small: int = SMALL) -> Candidate | None:
        """Return the candidate that follows the value.

        Where the value is the same everywhere, a name that equals it proves nothing; an expression that the class
        computes anyway is taken for it.
        """
        varied = len({_plain(value) for value, _ in pairs}) > 1
        if not varied and isinstance(pairs[0][0], int) and abs(pairs[0][0]) < small:
            return None
        alone = len({case.position for _, case in pairs}) == 1 and bool(self.loops)
        for candidate in candidates:
            if not varied and (alone or not isinstance(candidate.python, ast.BinOp)):
                continue
            if alone and not self.confirmed and not isinstance(candidate.python, ast.Name):
                continue  # one copy proves nothing
            if all(_same(candidate.values.get(id(case)), value) for value, case in pairs):
                return candidate
        return None

    def _multiple(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return `4 * width` where instances with different sizes agree on it."""
        if len({_plain(value) for value, _ in pairs}) < (2 if self.confirmed else ENOUGH):
            return None
        plain = [each for each in candidates if not (each.stepped or isinstance(each.python, ast.BinOp))]
        named = [each for each in plain if self.confirmed or _is_name(each)]
        factors = [(factor, each) for each in named if (factor := _factor(pairs, each)) is not None]
        known = [(factor, each) for factor, each in factors if self.confirmed or factor in FACTORS]
        if not known:
            return None
        factor, least = min(known, key=lambda pair: pair[0])
        return ast.BinOp(ast.Constant(factor), ast.Mult(), copy_tree(least.python))

    def _literal(self, pairs: Pairs) -> ast.expr | None:
        first = pairs[0][0]
        return literal(first) if all(_same(value, first) for value, _ in pairs) else None

    def _varied(self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int) -> ast.expr:
        """Return an expression for a value that differs from copy to copy, or from instance to instance."""
        if depth == 0:
            return (
                self._switched(pairs, candidates)
                or self._sum(pairs, candidates)
                or self._product(pairs, candidates)
                or load_name(
                    self.group.extra(
                        self.local(wanted), {case.state: value for value, case in pairs}, self.taken
                    )
                )
            )
        if not _differs_by_position(pairs, depth):
            return self._varied(pairs, candidates, wanted, depth - 1)
        return (
            (self._carried(pairs, candidates, wanted) if depth == len(self.loops) > 1 else None)
            or self._first_or_rest(pairs, candidates, wanted, depth)
            or self._affine(pairs, candidates, wanted, depth)
            or (self._carried(pairs, candidates, wanted) if depth == len(self.loops) == 1 else None)
            or self._listed(pairs, wanted, depth)
            or self._indexed(pairs, wanted, depth)
        )

    def _switched(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return `4 * width if bottleneck else width`, where a switch of the model says which of two it is."""
        for candidate in candidates if self.confirmed else ():
            ways = {way: [p for p in pairs if candidate.values.get(id(p[1])) is way] for way in (True, False)}
            if (
                not isinstance(candidate.python, ast.Name)
                or not all(ways.values())
                or len(pairs) != sum(map(len, ways.values()))
            ):
                continue
            one, two = (self._known(ways[way], candidates) for way in (True, False))
            if one is not None and two is not None:
                switch = copy_tree(candidate.python)
                turned = (_truth(one), _truth(two)) == (False, True)
                return ast.UnaryOp(ast.Not(), switch) if turned else ast.IfExp(switch, one, two)
        return None

    def _sum(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return `width + depth * growth`, or a sum or product of two, for layers that get what others made."""
        if not self.is_root or not all(type(value) is int for value, _ in pairs):
            return None
        known = {tuple(_plain(c.values.get(id(case))) for _, case in pairs): c for c in reversed(candidates)}
        rows = {row: c for row, c in known.items() if all(type(value) is int for value in row)}
        return sum_of(tuple(value for value, _ in pairs), {row: c.python for row, c in rows.items()})

    def _product(self, pairs: Pairs, candidates: Sequence[Candidate]) -> ast.expr | None:
        """Return `heads * head_dim`, where it is the size at several values of both."""
        if self.confirmed and len({_plain(value) for value, _ in pairs}) > 1:
            for one, two in combinations(filter(_is_name, candidates), 2):
                if all(_is_product(v, one.values.get(id(c)), two.values.get(id(c))) for v, c in pairs):
                    return ast.BinOp(copy_tree(one.python), ast.Mult(), copy_tree(two.python))
        return None

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
        index = load_name(self.loops[depth - 1].variable)
        if {_truth(one), _truth(two)} == {True, False}:
            operator = ast.Eq() if _truth(one) else ast.Gt()
            return ast.Compare(index, [operator], [ast.Constant(start)])
        return ast.IfExp(ast.Compare(index, [ast.Eq()], [ast.Constant(start)]), one, two)

    def _carried(self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str) -> ast.expr | None:
        """Return a name that each copy sets for the next, as `in_channels` in a loop over convolutions."""
        read = {(case.state, case.position): value for value, case in pairs}
        if any(not loop.places for loop in self.loops) or read.keys() != self.loops[-1].places:
            return None
        for name, known in self.loops[-1].carried.items():
            if known.read == read:
                return load_name(name)
        rows: dict[BlockState, Pairs] = {}
        for value, case in sorted(pairs, key=lambda pair: pair[1].position):
            rows.setdefault(case.state, []).append((value, case))
        later = [(now[0], old[1]) for row in rows.values() for old, now in pairwise(row)]
        left = self._match(later, candidates) if later else None
        if left is None:
            return None
        inside = {each for loop in self.loops for each in (loop.variable, *loop.columns, *loop.names)}
        outside = [each for each in candidates if not inside & names_in(each.python)]
        start = self._chosen([row[0] for row in rows.values()], outside, wanted, 0)
        name = self.fresh(self.local(wanted))
        self.loops[0].starts[name] = start
        after = {state: left.values.get(id(row[-1][1])) for state, row in rows.items()}
        self.loops[-1].carried[name] = Carried(copy_tree(left.python), read, after)
        return load_name(name)

    def _affine(
        self, pairs: Pairs, candidates: Sequence[Candidate], wanted: str, depth: int
    ) -> ast.expr | None:
        """Return `a + b * index`, as where each copy adds channels."""
        if not all(type(value) is int for value, _ in pairs):
            return None
        rows = _rows(pairs, depth)
        steps = {key: row[1] - row[0] for key, row in rows.items() if 0 in row and 1 in row}
        if not steps or any(0 not in row or (len(row) > 1 and key not in steps) for key, row in rows.items()):
            return None
        if any(v != row[0] + at * steps.get(key, 0) for key, row in rows.items() for at, v in row.items()):
            return None
        growths = [(steps[key], case) for _, case in pairs if (key := _outer(case, depth)) in steps]
        growth = self._candidate(growths, candidates, SMALLEST_STEP) or self._literal(growths)
        if growth is None:
            return None
        firsts = [(rows[_outer(case, depth)][0], case) for _, case in pairs]
        start = self._chosen(firsts, candidates, wanted, depth - 1)
        return ast.BinOp(
            start, ast.Add(), ast.BinOp(load_name(self.loops[depth - 1].variable), ast.Mult(), growth)
        )

    def _listed(self, pairs: Pairs, wanted: str, depth: int) -> ast.expr | None:
        """Return a column of the loop, or `[64, 256, 128][index]` where it does not always make as many copies."""
        table: dict[int, Any] = {}
        for value, case in pairs:
            if not _same(table.setdefault(case.position[depth - 1], value), value):
                return None
        loop = self.loops[depth - 1]
        unread = 0 if all(type(value) is int for value in table.values()) else None
        if loop.copies is not None:
            return load_name(self._column(loop, wanted, [table.get(at, unread) for at in range(loop.copies)]))
        return item_of(
            literal([table.get(at, unread) for at in range(max(table) + 1)]), load_name(loop.variable)
        )

    def _column(self, loop: Loop, wanted: str, values: list[Any]) -> str:
        """Return the name of a column with these values, added if there is none yet."""
        for name, known in loop.columns.items():
            if known == values:
                return name
        used = {*self.taken, *self.bound, *(name for each in self.loops for name in each.columns)}
        name = unused(self.local(wanted), used)
        loop.columns[name] = values
        return name

    def _indexed(self, pairs: Pairs, wanted: str, depth: int) -> ast.expr:
        """Return an item of a list that the loops around give, or in the end an argument of the constructor."""
        lists = {key: [row.get(at) for at in range(max(row) + 1)] for key, row in _rows(pairs, depth).items()}
        outer = [(lists[_outer(case, depth)], case) for _, case in pairs]
        listed = self._chosen(outer, [], f"{wanted}_list", depth - 1)
        return item_of(listed, load_name(self.loops[depth - 1].variable))


def _outer(case: Case, depth: int) -> Outer:
    return case.state, case.position[: depth - 1]


def _rows(pairs: Pairs, depth: int) -> dict[Outer, dict[int, Any]]:
    """Return the values of one loop by the number of the copy, for each position in the loops around it."""
    rows: dict[Outer, dict[int, Any]] = {}
    for value, case in pairs:
        rows.setdefault(_outer(case, depth), {})[case.position[depth - 1]] = value
    return rows


def _is_name(candidate: Candidate) -> bool:
    return isinstance(candidate.python, ast.Name)


def _is_product(value: int, one: object, two: object) -> bool:
    return type(one) is type(two) is int and min(one, two) > 1 and one * two == value


def _factor(pairs: Pairs, candidate: Candidate) -> int | None:
    """Return the whole number by which a value is larger than a candidate in all cases."""
    factors: set[int] = set()
    for value, case in pairs:
        of = candidate.values.get(id(case))
        if type(value) is not int or type(of) is not int or of <= 0 or value % of:
            return None
        factors.add(value // of)
    factor = factors.pop()
    return factor if not factors and 1 < factor <= LARGEST_FACTOR else None


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
