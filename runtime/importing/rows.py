"""Layers in a row that differ in their arguments: a repeat over their values, or over the number of the copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.importing.nodes import ArgumentValue, If, Items, LayerCall, Node, Repeat, Word

FEWEST = 4


@dataclass(frozen=True)
class Rows:
    """Copies of a layer, one for each row of values."""

    rows: tuple[tuple[ArgumentValue, ...], ...]
    names: tuple[str, ...]
    of: LayerCall


def rows_of(node: Node) -> Node | Rows:
    """Return a list whose items differ in arguments alone as one repeat."""
    if isinstance(node, If):
        return If(node.condition, rows_of(node.then))  # type: ignore[arg-type]
    if not isinstance(node, Items) or any(name for name, _ in node.items):
        return node
    calls = [each for _, item in node.items for each in _copies(item)]
    first = calls[0] if calls else None
    if first is None or None in calls or len(calls) < FEWEST or len(node.items) < FEWEST:
        return node
    found = [each for each in calls if each is not None]
    heads = {(each.name, tuple((one.name, one.default) for one in each.arguments)) for each in found}
    return _rows(found) if len(heads) == 1 else node


def _copies(item: Node) -> list[LayerCall | None]:
    if isinstance(item, Repeat) and isinstance(item.count, int) and isinstance(item.of, LayerCall):
        return [item.of] * item.count
    return [item] if isinstance(item, LayerCall) else [None]


def _rows(calls: Sequence[LayerCall]) -> Node | Rows:
    """Return a repeat of calls of one layer, or a list where they differ in more than plain values."""
    arguments, names, columns = list(calls[0].arguments), [], []
    plain = Items(tuple(("", each) for each in calls))
    for place, argument in enumerate(calls[0].arguments):
        column = [each.arguments[place].value for each in calls]
        if all(each == column[0] and type(each) is type(column[0]) for each in column):
            continue
        if any(not isinstance(each, bool | int | float) for each in column):
            return plain
        formula = _formula(column)
        if formula is None:
            names.append(argument.name)
            columns.append(column)
        arguments[place] = replace(argument, value=Word(formula or argument.name))
    of = LayerCall(calls[0].name, tuple(arguments))
    outer = {each.value.name for each in calls[0].arguments if isinstance(each.value, Word)}
    if outer & {"index", *names}:
        return plain
    if not names:
        return Repeat(len(calls), of)
    return Rows(tuple(zip(*columns, strict=True)), tuple(names), of)


def _formula(column: Sequence[ArgumentValue]) -> str | None:
    """Return what the values of copies are in terms of `index`, if they grow evenly or double."""
    values = [each for each in column if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(values) < len(column):
        return None
    last, most = values[-1], len(values) - 1
    if all(isinstance(each, int) for each in values):
        first, step = values[0], values[1] - values[0]
        if step == first and all(each == step * (index + 1) for index, each in enumerate(values)):
            return f"{step} * (index + 1)"
        if all(each == first + step * index for index, each in enumerate(values)):
            return f"{first} + {step} * index" if first else f"{step} * index"
        if all(each == first * 2**index for index, each in enumerate(values)):
            return f"{first} * 2 ** index"
        return None
    if all(each == last * index / most for index, each in enumerate(values)):
        return f"{last!r} * index / {most}"
    return None
