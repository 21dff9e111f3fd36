"""Other sizes of open dimensions: what was inferred at the example sizes has to hold for them too.

The model is run again, over tensors of other sizes, from the states that the runs before left behind. So a layer that
only another size reaches is made, a parameter whose size changes with an open dimension is refused, and so is a
model that runs at its example sizes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from compiler.infer.chosen import CHOSEN
from compiler.infer.conditions import Conditions, Decided, Key
from spec_schema.diagnostics import Diagnostic, SpecError

Sizes = Mapping[str, int]
MOST_RUNS = 48


@dataclass(frozen=True)
class Attempt:
    """One run: the conditions that it decided, and why it failed if it did."""

    sizes: Sizes
    conditions: Mapping[Key, Decided]
    error: SpecError | None


@dataclass(eq=False)
class OtherSizes:
    """Tries sizes beside the examples. `run` makes one run, and raises what is wrong at those sizes."""

    example: Sizes
    run: Callable[[Sizes], Conditions]
    conditions_of_failed: Callable[[], Conditions]
    attempts: list[Attempt] = field(default_factory=list)
    turned: set[Key] = field(default_factory=set)
    """The conditions for which all was tried."""

    def explore(self, first: Conditions) -> None:
        """Try other sizes.

        Raises:
            SpecError: a tensor of the model depends on an open dimension, no other size of one runs, or
                what only other sizes reach is wrong.
        """
        self.attempts.append(Attempt(self.example, first.found, None))
        if self.attempt(self._together()).error is not None:
            self._check_each()
        self._try_conditions()

    def _together(self) -> Sizes:
        """Return a multiple of each size; those that are equal by chance become different ones."""
        sizes = list(self.example.values())
        return {
            name: size * (2 + sizes[:at].count(size)) for at, (name, size) in enumerate(self.example.items())
        }

    def attempt(self, sizes: Sizes) -> Attempt:
        """Run at some sizes, or return what came of it before."""
        for made in self.attempts:
            if made.sizes == sizes:
                return made
        try:
            made = Attempt(sizes, self.run(sizes).found, None)
        except SpecError as error:
            made = Attempt(sizes, self.conditions_of_failed().found, error)
        self.attempts.append(made)
        return made

    # One dimension at a time.

    def _check_each(self) -> None:
        """Find the dimensions that a joint attempt failed for, and refuse them."""
        problems: dict[tuple[str, str], tuple[Diagnostic, list[str]]] = {}
        for name in self.example:
            found = self._problem(name)
            if found is not None:
                key = (str(found.span), found.message)
                problems.setdefault(key, (found, []))[1].append(name)
        if problems:
            raise SpecError(_of(found, self._some(names)) for found, names in problems.values())

    def _problem(self, name: str) -> Diagnostic | None:
        """Return why a dimension cannot be open, None if the model runs at another size of it."""
        failed: list[Attempt] = []
        for size in _others(self.example[name]):
            made = self.attempt({**self.example, name: size})
            if made.error is None:
                return None
            if _is_open_size(made.error):
                return made.error.diagnostics[0]
            failed.append(made)
        return _fixed(name, self.example[name], failed[0])

    # Conditions that sizes decide.

    def _try_conditions(self) -> None:
        """Look for sizes at which the conditions that depend on open dimensions come out otherwise."""
        if any(made.conditions for made in self.attempts):
            self.attempt({name: size + 1 for name, size in self.example.items()})
        while (key := next(self._one_sided(), None)) is not None:
            self._turn(key)
            self.turned.add(key)
        for sizes in self.turning:
            self._check_beside(sizes)

    def _one_sided(self) -> Iterator[Key]:
        """Yield the conditions that depend on sizes, and that came out one way in all runs that went through."""
        for key in dict.fromkeys(key for made in self.attempts for key in made.conditions):
            seen = [made.conditions[key] for made in self.attempts if key in made.conditions]
            passed = {
                m.conditions[key].truth for m in self.attempts if key in m.conditions and m.error is None
            }
            if len(set(seen)) > 1 and len(passed) < 2 and key not in self.turned:
                yield key

    def _turn(self, key: Key) -> None:
        """Try sizes until a condition has come out both ways.

        Raises:
            SpecError: at each size that turns it, something is wrong.
        """
        before = self.attempts[0].conditions.get(key)
        failed: list[Attempt] = []
        for sizes in self._candidates(key):
            if len(self.attempts) > MOST_RUNS:
                return
            made = self.attempt(sizes)
            after = made.conditions.get(key)
            if after is None or (before is not None and after.truth == before.truth):
                continue
            if made.error is None:
                return
            failed.append(made)
        if failed and before is not None:
            raise _at_other_size(self.example, failed[0])

    def _candidates(self, key: Key) -> Iterator[Sizes]:
        """Yield sizes at which a condition may come out otherwise: around its edge, then small ones and neighbours."""
        for name, size in self.example.items():
            beside = [self.attempt({**self.example, name: other}) for other in (2 * size, size + 1)]
            if all(made.conditions.get(key) == self.attempts[0].conditions.get(key) for made in beside):
                continue  # it does not depend on this dimension
            for other in dict.fromkeys([*self._edge(key, name, beside[0]), 1, 2, 3, *_others(size)]):
                if other != size and other > 0:
                    yield {**self.example, name: other}

    def _edge(self, key: Key, name: str, beside: Attempt) -> list[int]:
        """Return the sizes around that at which the two numbers of a condition are equal, if they grow evenly."""
        one, two = self.attempts[0].conditions.get(key), beside.conditions.get(key)
        if one is None or two is None or one.difference is None or two.difference is None:
            return []
        slope = (two.difference - one.difference) / self.example[name]
        if not slope:
            return []
        edge = self.example[name] - one.difference / slope
        return [math.floor(edge) + step for step in (0, 1, -1, 2)]

    def _check_beside(self, turning: Sizes) -> None:
        """Refuse tensors whose size changes near sizes that turned a condition."""
        for name, size in turning.items():
            other = size + 1 if size > self.example[name] else size - 1
            if size != self.example[name] and other > 0 and len(self.attempts) <= MOST_RUNS:
                beside = self.attempt({**turning, name: other})
                if beside.error is not None and _is_open_size(beside.error):
                    raise SpecError(_of(found, self._some([name])) for found in beside.error.diagnostics)

    def _some(self, names: Iterable[str]) -> Sizes:
        """Return the example sizes of some dimensions."""
        return {name: self.example[name] for name in names}

    @property
    def turning(self) -> list[Sizes]:
        """The sizes, beside the examples, that are first to turn a condition."""
        seen: set[tuple[Key, bool]] = set()
        found: list[Sizes] = []
        for made in self.attempts:
            decided = {(key, each.truth) for key, each in made.conditions.items()}
            if made.error is None and not decided <= seen:
                found.append(made.sizes)
                seen |= decided
        return found[1:] if found[:1] == [self.example] else found


def _others(size: int) -> Iterable[int]:
    """Return other sizes of a dimension: multiples first, since many models halve what they get.

    1 is not among them: it fits any size.
    """
    found = dict.fromkeys([2 * size, 3 * size, size + 1, size - 1, size // 2])
    return [other for other in found if other > 1 and other != size]


def _of(found: Diagnostic, dimensions: Sizes) -> Diagnostic:
    """Return the diagnostic of a size that depends on open dimensions, with their names."""
    if found.code != "open-size":
        return found
    if CHOSEN in dimensions:
        return _known_needed(found, f"{found.message} depends on how many elements data choose", found.notes)
    listed = " and ".join(f"`{name}`" for name in dimensions)
    variables = ", ".join(f"{name}: {size}" for name, size in dimensions.items())
    plural = "s" if len(dimensions) > 1 else ""
    return replace(
        found,
        message=f"{found.message} depends on the open dimension{plural} {listed}",
        help=f"a tensor of the model has one size: make it a variable, as in `vars: {{{variables}}}`",
    )


def _known_needed(found: Diagnostic, message: str, notes: tuple[str, ...]) -> Diagnostic:
    """Return the diagnostic of what needs a size that is known, and has one that data decide."""
    help = "`where(mask, x, 0.0)` keeps the shape, and `nonzero_static(mask, size=8)` gives so many indices"
    return replace(found, code="data-size", message=message, notes=notes, help=help)


def _is_open_size(error: SpecError) -> bool:
    return error.diagnostics[0].code == "open-size"


def _fixed(name: str, example: int, failed: Attempt) -> Diagnostic:
    assert failed.error is not None
    found = failed.error.diagnostics[0]
    if name == CHOSEN:
        message = "a known size is needed here, and data decide it"
        return _known_needed(found, message, (f"with another size: {found.message}", *found.notes))
    return Diagnostic(
        "fixed-dimension",
        f"`{name}` is an open dimension, and the model runs where it is {example} alone",
        found.span,
        found.label,
        found.labels,
        notes=(f"where `{name}` is {failed.sizes[name]}: {found.message}", *found.notes),
        help=f"make it a variable, `vars: {{{name}: {example}}}`; sizes that are equal have one name",
    )


def _at_other_size(example: Sizes, failed: Attempt) -> SpecError:
    """Return the error of a run at other sizes, with the sizes."""
    assert failed.error is not None
    changed = {name: size for name, size in failed.sizes.items() if size != example[name]}
    sizes = ", ".join(f"`{name}` is {size}" for name, size in changed.items() if name != CHOSEN)
    sizes = sizes or "data choose another number of elements"
    return SpecError(
        replace(found, notes=(f"where {sizes}", *found.notes)) for found in failed.error.diagnostics
    )
