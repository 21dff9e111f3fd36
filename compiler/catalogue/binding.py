"""From the arguments that a spec writes to those of a layer, or to the one thing that is wrong with them.

The inferred sizes are left out of positional calls. Whoever comes from PyTorch forgets that, so a call that
reads well in PyTorch's order and badly in ours is reported as just that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from compiler.catalogue.annotations import accepted, describe, fits_argument
from compiler.catalogue.layer_types import REQUIRED, Argument, LayerType, positional, torch_order

ProblemKind = Literal[
    "unknown-argument",
    "missing-argument",
    "too-many-arguments",
    "duplicate-argument",
    "inferred-argument",
    "argument-type",
]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a call.

    The offender is the positional argument ``index``, or the keyword ``keyword``. ``argument`` is what it was
    read as, ``expected`` says what would have fitted, and ``names`` are, by kind: the candidates for a
    suggestion (unknown), the missing arguments (missing), or the inferred ones (inferred).
    """

    kind: ProblemKind
    index: int | None = None
    keyword: str | None = None
    argument: str | None = None
    value: object = None
    expected: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bound:
    """The arguments of a layer by name, or why there are none."""

    values: dict[str, object] = field(default_factory=dict)
    problem: Problem | None = None


def bind(layer: LayerType, args: Sequence[object], kwargs: Mapping[str, object]) -> Bound:
    """Match the written arguments with those of the layer, and check their types."""
    places = positional(layer)
    values = dict(zip((each.name for each in places), args, strict=False))
    problem = (
        _positional_problem(layer, args, kwargs)
        or _keyword_problem(layer, values, kwargs)
        or _missing_problem(layer, {**values, **kwargs})
    )
    return Bound(problem=problem) if problem else Bound({**values, **kwargs})


def reads_as_torch(
    layer: LayerType, args: Sequence[object], kwargs: Mapping[str, object], sizes: Mapping[str, int]
) -> bool:
    """Return whether the call may be PyTorch's own, copied: its inferred sizes are right there, in PyTorch's places.

    That is no error (``Conv2d(64, 3, 2)`` after 64 channels is fine), but it explains one: ask when a layer
    that was bound does not build or does not run.
    """
    places = torch_order(layer)[: len(args)]
    claimed = [(each.name, value) for each, value in zip(places, args, strict=False) if each.deferred]
    return (
        bool(claimed)
        and all(name in sizes and sizes[name] == value for name, value in claimed)
        and _fits_torch_order(layer, args, kwargs)
    )


def _positional_problem(
    layer: LayerType, args: Sequence[object], kwargs: Mapping[str, object]
) -> Problem | None:
    """Return the first positional argument that is one too many or does not fit."""
    places = positional(layer)
    copied = _fits_torch_order(layer, args, kwargs)
    for index, value in enumerate(args):
        if index >= len(places):
            if copied:
                return _inferred(layer, index, None, value)
            names = tuple(each.name for each in places)
            return Problem("too-many-arguments", index, value=value, names=names)
        place = places[index]
        fitting = fits_argument(value, place)
        if copied and (not fitting or _is_size_for_number(value, place)):
            return _inferred(layer, index, place, value)
        if not fitting:
            expected = describe(accepted(place))
            return Problem("argument-type", index, argument=place.name, value=value, expected=expected)
    return None


def _is_size_for_number(value: object, place: Argument) -> bool:
    """Return whether an integer stands where a fraction is expected: in ``LayerNorm(768)`` nobody means eps."""
    expects_fraction = fits_argument(0.5, place) and not fits_argument("text", place)
    return type(value) is int and value != place.default and expects_fraction


def _fits_torch_order(layer: LayerType, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    """Return whether the call is a good one in PyTorch's order, with an inferred size among its positions."""
    places = torch_order(layer)
    if len(args) > len(places):
        return False
    given = places[: len(args)]
    needed = [each.name for each in places[len(args) :] if each.default is REQUIRED]
    return (
        any(each.deferred for each in given)
        and all(map(fits_argument, args, given))
        and all(name in kwargs for name in needed)
        and not any(each.name in kwargs for each in given)
    )


def _inferred(layer: LayerType, index: int, place: Argument | None, value: object) -> Problem:
    return Problem(
        "inferred-argument",
        index,
        argument=place.name if place else None,
        value=value,
        expected=describe(accepted(place)) if place else None,
        names=tuple(each.name for each in layer.arguments if each.deferred),
    )


def _keyword_problem(
    layer: LayerType, values: Mapping[str, object], kwargs: Mapping[str, object]
) -> Problem | None:
    """Return the first keyword that the layer lacks, that repeats a position, or whose value does not fit."""
    for keyword, value in kwargs.items():
        argument = layer.argument(keyword)
        if argument is None:
            names = tuple(each.name for each in layer.arguments)
            return Problem("unknown-argument", keyword=keyword, value=value, names=names)
        if keyword in values:
            return Problem("duplicate-argument", keyword=keyword, argument=keyword, value=value)
        if not fits_argument(value, argument):
            expected = describe(accepted(argument))
            return Problem("argument-type", keyword=keyword, argument=keyword, value=value, expected=expected)
    return None


def _missing_problem(layer: LayerType, values: Mapping[str, object]) -> Problem | None:
    """Return the arguments that are neither written, nor inferred, nor have a default."""
    names = tuple(
        each.name
        for each in layer.arguments
        if each.default is REQUIRED and each.deferred is None and each.name not in values
    )
    return Problem("missing-argument", names=names) if names else None
