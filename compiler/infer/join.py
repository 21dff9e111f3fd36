"""What the ways that data may take leave behind: values must agree in shape and dtype, or stay undecided."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compiler.infer.placed import place_of
from compiler.infer.values import Undecided, same_form, show, tensors_in
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.grammar import Source


@dataclass(frozen=True)
class Branch:
    """The values of names at the end of a way, and where each was bound."""

    names: Mapping[str, object]
    places: Mapping[str, ast.AST]


def merge(source: Source, test: ast.expr, first: Branch, second: Branch) -> dict[str, object]:
    """Return the names behind a branch that depends on data.

    Raises:
        SpecError: a name holds tensors of another shape or dtype on one way than on the other.
    """
    merged: dict[str, object] = {}
    for name in {**first.names, **second.names}:
        if name not in first.names or name not in second.names:
            message = f"`{name}` has no value on one of the ways that lead here"
            help = "bind it on every way, or in front of the branch"
            merged[name] = Undecided(message, help, source.span(test))
            continue
        one, two = first.names[name], second.names[name]
        if same_form(one, two) or isinstance(one, Undecided):
            merged[name] = one
        elif isinstance(two, Undecided):
            merged[name] = two
        elif tensors_in(one) or tensors_in(two):
            places = first.places.get(name, test), second.places.get(name, test)
            raise disagreement(source, test, f"`{name}`", (places[0], one), (places[1], two))
        else:
            merged[name] = _undecided(source, test, name, one, two)
    return merged


def _undecided(source: Source, test: ast.expr, name: str, one: Any, two: Any) -> Undecided:
    message = f"`{name}` is {show(one)} on one of the ways that lead here, and {show(two)} on another"
    number = isinstance(one, int | float) and isinstance(two, int | float)
    help = f"choose by data: `where({ast.unparse(test)}, {show(one)}, {show(two)})`" if number else None
    return Undecided(message, help, source.span(test))


def disagreement(
    source: Source, test: ast.expr | None, what: str, first: tuple[ast.AST, Any], second: tuple[ast.AST, Any]
) -> SpecError:
    """Return the error of a value that differs between two ways; each is given with the node that made it."""
    labels = [Label(source.span(second[0]), f"{_form(second[1])} here")]
    if test is not None and test not in (first[0], second[0]):
        labels.append(Label(source.span(test), "this depends on data"))
    one_device = place_of(first[1]) == place_of(second[1])
    return refuse(
        "ways-disagree",
        f"{what} is {_form(first[1])} on one way and {_form(second[1])} on another",
        source.span(first[0]),
        label=f"{_form(first[1])} here",
        labels=tuple(labels),
        notes=("where data decides, every way must lead to one shape and dtype",),
        help=None if one_device else "end every way on one device: `y.to(x)` puts `y` where `x` is",
    )


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        place = place_of(value)
        return f"{str(value.dtype).removeprefix('torch.')}{show(value)}" + (f" on {place}" if place else "")
    return show(value)
