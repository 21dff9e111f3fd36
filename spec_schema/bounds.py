"""How large compile-time values may get, checked by arithmetic before they are computed, and why one failed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from spec_schema.limits import Limits
from spec_schema.scalars import shorten
from spec_schema.walk import walk

_PLAIN = (bool, int, float, str, list, tuple, type(None))
_LARGEST_EXPONENT = 64
_MOST_DIGITS = 30
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    range: "a range",
    dict: "a dict",
    type(None): "`None`",
}


def kind(value: object) -> str:
    """Return what kind of value it is, in words."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def would_be_too_large(function: object, arguments: Sequence[Any], limits: Limits) -> bool:
    """Return whether an operation on plain values would give, or go through, something too large."""
    whole = [a for a in arguments if isinstance(a, int)]
    if function is operator.pow and len(whole) == 2:
        return abs(whole[0]) > 1 and whole[1] > _LARGEST_EXPONENT
    if function is operator.mul and whole:
        return any(len(a) * whole[0] > limits.nodes for a in arguments if isinstance(a, str | list | tuple))
    if function is operator.mod:
        return isinstance(arguments[0], str)  # a format may ask for any width
    if function is round and len(whole) == 2:
        return abs(whole[1]) > _MOST_DIGITS
    if function is sum:
        return any(not isinstance(item, int | float) for item in _items(arguments))
    return False


def _items(arguments: Sequence[Any]) -> list[Any]:
    """Return what a sum goes over: lists in it would be joined in quadratic time."""
    first = arguments[0] if arguments and isinstance(arguments[0], list | tuple | range) else ()
    return [*first, *arguments[1:]]


Extent = tuple[int, int]
"""How many values a nested value holds, counting one as often as it is found in it, and how deep it is nested."""


def extent(value: object, known: dict[int, Extent] | None = None) -> Extent:
    """Return the extent of a value. Values are checked as they are made, so none is nested much beyond the limit."""
    if isinstance(value, str | range):
        return len(value), 0
    if not isinstance(value, list | tuple | dict):
        return 1, 0
    known = {} if known is None else known
    if id(value) not in known:
        parts = [extent(part, known) for part in (value.values() if isinstance(value, dict) else value)]
        size, depth = 1 + sum(size for size, _ in parts), 1 + max((depth for _, depth in parts), default=0)
        known[id(value)] = size, depth
    return known[id(value)]


def problem(value: object, limits: Limits) -> tuple[str, str] | None:
    """Return the code and the message of what is wrong with a result, or None."""
    if isinstance(value, int) and abs(value) > limits.integer:
        return "integer-range", f"the result is beyond ±{limits.integer}"
    if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
        return "evaluation", "the result is not a finite number"
    size, depth = extent(value)
    if size > limits.nodes:
        return "integer-range", "the result would be too large"
    if depth > limits.nesting:
        return "integer-range", f"the result is nested more than {limits.nesting} deep"
    return None


def bindings(tree: ast.AST, names: Mapping[str, object]) -> tuple[str, ...]:
    """Return a note with the values of the names in an expression, if there are any."""
    used = dict.fromkeys(node.id for node in walk(tree) if isinstance(node, ast.Name) and node.id in names)
    shown = [f"{name} = {shorten(repr(names[name]))}" for name in used if isinstance(names[name], _PLAIN)]
    return (", ".join(shown),) if shown else ()


def failure(what: str, error: Exception, arguments: Sequence[Any]) -> str:
    """Return why an operation on plain values failed."""
    if isinstance(error, ZeroDivisionError):
        return f"`{what}` divides by zero"
    if what == "[]" and isinstance(error, IndexError):
        return f"there is no item {arguments[1]} in a list of {len(arguments[0])}"
    if what == "[]" and isinstance(error, KeyError):
        return f"there is no key {arguments[1]!r}"
    if isinstance(error, TypeError):
        kinds = [kind(argument) for argument in arguments]
        return f"`{what}` does not take {' and '.join(kinds) or 'so few arguments'}"
    shown = ", ".join(str(argument)[:40] for argument in arguments)
    return f"`{what}` is not defined for {shown}"
