"""Other values of the variables of a spec, at which the model is inferred again to see what follows what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compiler.emit.dependence import Dependence
from compiler.program import ResolvedProgram

PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
MORE_PRIMES = (*PRIMES, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)
CHAINS = (2, 3)
"""How many numbers are multiplied by 2, 6, 18, ..., and so go on dividing each other; those above, by primes more."""
ODD = 3
"""The factor of numbers in tables: kernels, strides and counts stay odd where they are."""
Scheme = Callable[[int, Any], Any]
"""Returns another value of a variable that has this place in the order of its values."""


def _multiple(first: int, chain: int) -> Scheme:
    """Return the scheme of multiples. None of the factors is the product of two others."""

    def multiple(at: int, value: Any) -> Any:
        more = PRIMES[(at - chain) % len(PRIMES)] if at >= chain else 1
        return other_value(value, first * 3 ** min(at, chain) * more)

    return multiple


def _fresh(at: int, value: Any) -> Any:
    """Return a number of the row 2, 12, 72, ..., where multiples outgrow what a size may be.

    What has that number already is twice as large: it divides the next one as well.
    """
    if not isinstance(value, int):
        return other_value(value, 2 * 3**at)
    return 4 * 6**at if value == 2 * 6**at else 2 * 6**at


def _apart(at: int, value: Any) -> Any:
    """Return a multiple by a prime of its own, where many numbers of a row outgrow what a size may be."""
    return other_value(value, MORE_PRIMES[at % len(MORE_PRIMES)])


SCHEMES: tuple[Scheme, ...] = (*(_multiple(2, chain) for chain in CHAINS), _fresh, _apart)
THIRDS = _multiple(3, 2)


@dataclass(frozen=True, eq=False)
class OtherValues:
    """Other values of the variables of one program."""

    program: ResolvedProgram

    @cached_property
    def dependence(self) -> Dependence:
        return Dependence(self.program)

    def changed(self, names: Iterable[str], scheme: Scheme) -> dict[str, Any]:
        """Return other values of variables. What relates one to another is lost, but that it divides it."""
        values = {name: self.program.variables[name] for name in names}
        counts = {name for name in self.dependence.counting & values.keys() if _is_whole(values[name])}
        found = {name: more(values[name]) for name in counts}
        others = sorted(values.keys() - counts, key=lambda name: (_largest_number(values[name]), name))
        fractions = [name for name in others if isinstance(values[name], float)]
        found |= {name: other_value(values[name], 1) for name in fractions}
        rest = [name for name in others if name not in found]
        return found | {name: scheme(at, values[name]) for at, name in enumerate(rest)}

    def further(self, names: Iterable[str], scheme: Scheme) -> Iterator[dict[str, Any]]:
        """Yield more values where something is computed by steps, so that two numbers are equal at many of them.

        `dim // heads * heads` is `dim` at all multiples, and no longer where `dim` alone is one larger.
        """
        if self.dependence.stepping:
            yield self.changed(names, THIRDS)
            values = self.changed(names, scheme)
            for name in names:
                if _is_whole(values[name]):
                    yield from ({**values, name: each} for each in self._alone(name, values))

    def _alone(self, name: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield values of one variable, the others staying: one larger, above all bounds, and below."""
        if name in self.dependence.stepping:
            yield _next(values[name])
        if name in self.dependence.bounded - self.dependence.counting:
            above = max([*map(_largest_number, values.values()), *self.dependence.bounds])
            yield other_value(values[name], 1 + int(above))
            yield [1] * len(values[name]) if isinstance(values[name], list) else 1


def _next(value: Any) -> Any:
    return list(map(_next, value)) if isinstance(value, list) else value + 1


def other_value(value: Any, factor: int) -> Any:
    """Return another value of the same kind: None if there is none."""
    match value:
        case bool():
            return not value
        case int():
            return value * factor if value > 0 else None
        case float():
            return 0.75 * value if value else 0.25
        case list():
            return _other_list(value, factor)
    return None


def _other_list(values: list[Any], factor: int) -> list[Any] | None:
    """Return other items: those that are equal get different ones, so that each is told from the others."""
    is_table = any(isinstance(item, list) for item in values)
    factors = [ODD if is_table else factor * (1 + before) for before in _equals_before(values)]
    found = [
        other_value(item, each) if not isinstance(item, bool) else item
        for item, each in zip(values, factors, strict=True)
    ]
    return None if not found or None in found else found


def _equals_before(values: list[Any]) -> list[int]:
    """Return for each item of a list how many equal ones come before it."""
    return [values[:at].count(value) for at, value in enumerate(values)]


def more(value: Any) -> Any:
    """Return a number of copies that is larger; in a list, those that are equal become different."""
    if isinstance(value, list):
        return [item + 1 + before for item, before in zip(value, _equals_before(value), strict=True)]
    return value + 1


def _is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, or a list of them; the rows of a table are neither."""
    return all(type(item) is int for item in value) if isinstance(value, list) else type(value) is int


def _largest_number(value: Any) -> float:
    if isinstance(value, list):
        return max(map(_largest_number, value), default=0)
    return value if isinstance(value, int | float) else 0
