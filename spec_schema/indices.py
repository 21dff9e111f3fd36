"""Items of a row of layers, indexed as in Python: `h[10:13]`, `h[-1]`, `h[:depth - n]`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from spec_schema.bounds import kind
from spec_schema.brackets import NUMBERS, Fault, bracket_pattern
from spec_schema.diagnostics import refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression, parse_expression
from spec_schema.scalars import Scalar
from spec_schema.source import Span
from spec_schema.walk import walk

Place = tuple[int, int]
"""The position of an item, and how many there are."""
PARTS = 3
"""Of a slice."""


def is_class(inside: str) -> bool:
    """Return whether brackets behind a name go on with the name: `layer[1-4]`, `x[!a-c]`. Others hold an index."""
    if NUMBERS.fullmatch(inside) or inside.startswith("!"):
        return True
    return "-" in inside and isinstance(bracket_pattern(inside), str)


@dataclass(frozen=True)
class Written:
    """Brackets behind a component: where the index, or the bounds of the slice, stand in the selector."""

    text: str
    start: int
    parts: tuple[tuple[int, int], ...]

    def read(self, scalar: Scalar, shift: int) -> Index:
        """Return the expressions. The selector begins at `shift` in the text of the scalar.

        Raises:
            SpecError: a part is no expression.
        """
        places = [(start + shift, end + shift) for start, end in self.parts]
        parts = tuple(
            parse_expression(scalar, start, end) if scalar.text[start:end].strip() else None
            for start, end in places
        )
        return Index(self.text, parts, scalar.locate(places[0][0], places[-1][1]))


def written(inside: str, start: int) -> Written | Fault:
    """Read what is in brackets that begin at `start` of a selector, as far as to its parts."""
    ends = [*_colons(inside), len(inside)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    if len(ends) > PARTS or not inside.strip():
        return Fault(f"`[{inside}]` is neither an index nor a slice", "write `[2]`, `[-1]` or `[2:5]`")
    return Written(inside, start, tuple((start + a, start + b) for a, b in zip(starts, ends, strict=True)))


def _colons(text: str) -> Iterator[int]:
    """Yield where the colons between the bounds of a slice are."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign in "([") - (sign in ")]")
        if sign == ":" and not depth:
            yield at


@dataclass(frozen=True, eq=False)
class Index:
    """An index, or the bounds of a slice, which are None where they are left out."""

    text: str
    parts: tuple[Expression | None, ...]
    place: Span

    @property
    def expressions(self) -> list[Expression]:
        return [part for part in self.parts if part is not None]

    def chosen(self, values: Mapping[str, object]) -> Chosen:
        """Return the items that are meant.

        Raises:
            SpecError: a part cannot be computed, or is no whole number.
        """
        numbers = tuple(None if part is None else _whole(part, values) for part in self.parts)
        if len(numbers) == PARTS and numbers[2] == 0:
            raise refuse("bad-selector", "the step of a slice is 0", self.place)
        varies = any(isinstance(n, ast.Name) for part in self.expressions for n in walk(part.tree))
        return Chosen(self.text, numbers, varies, self.place)


def _whole(expression: Expression, values: Mapping[str, object]) -> int:
    value = evaluate(expression, values)
    if type(value) is not int:
        found = repr(value) if isinstance(value, float) else kind(value)
        raise refuse("bad-selector", f"an index is a whole number, and this is {found}", expression.place)
    return value


@dataclass(frozen=True)
class Chosen:
    """Items of a row: one, or a slice."""

    text: str
    numbers: tuple[int | None, ...]
    varies: bool
    """Whether variables decide it."""
    place: Span

    @cached_property
    def number(self) -> int | None:
        """The index, None for a slice."""
        return self.numbers[0] if len(self.numbers) == 1 else None

    def wide(self) -> Chosen:
        """Return a slice of all items for a slice."""
        return replace(self, numbers=(None, None)) if self.number is None else self

    def items(self, count: int) -> range:
        """Return the positions among so many items."""
        if self.number is None:
            return range(count)[slice(*self.numbers)]
        at = self.number + count if self.number < 0 else self.number
        return range(at, at + 1) if 0 <= at < count else range(0)

    def has(self, place: Place | None) -> bool:
        """Return whether an item is among those."""
        return place is not None and place[0] in self.items(place[1])
