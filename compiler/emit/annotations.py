"""Annotations of arguments and results, from the values that they have."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from torch import Tensor

SIMPLE = frozenset({"int", "float", "str", "bool"})


def annotation_of(values: Sequence[object], any_list: bool = False) -> ast.expr | None:
    """Return the annotation of an argument that takes these values; None where there is none to give.

    `any_list` says that it takes lists and tuples alike.

    Of an argument that is always left at `None` nothing is known: most of them are numbers.
    """
    text = _type_of(values, any_list)
    return None if text is None else ast.parse("float | None" if text == "None" else text, mode="eval").body


def annotation_of_input(values: Sequence[object]) -> ast.expr | None:
    """Return the annotation of an argument of `forward`, of which most are tensors."""
    text = _type_of(values, False)
    return None if text is None else ast.parse("Tensor | None" if text == "None" else text, mode="eval").body


def annotation_of_output(values: Sequence[object]) -> ast.expr | None:
    """Return the annotation of what `forward` returns."""
    text = _type_of(values, False)
    return None if text is None else ast.parse(text, mode="eval").body


def _type_of(values: Iterable[object], any_list: bool) -> str | None:
    """Return the type that all values have, as it is written."""
    found = dict.fromkeys(_one_type(value, any_list) for value in values)
    names = [name for name in found if name is not None]
    if not names or len(names) < len(found):
        return None
    if "float" in names and "int" in names:
        names.remove("int")
    return " | ".join(sorted(names, key=lambda name: name == "None"))


def _one_type(value: object, any_list: bool) -> str | None:
    match value:
        case None:
            return "None"
        case list() | tuple() if any_list or isinstance(value, list):
            inner = _type_of(value, any_list) if value else "int"
            return inner and f"{'Sequence' if any_list else 'list'}[{inner}]"
        case Tensor():
            return "Tensor"
        case dict():
            inner = _type_of(value.values(), any_list)
            return inner and f"dict[str, {inner}]"
        case tuple():
            parts = [_one_type(part, any_list) for part in value]
            return None if None in parts or not parts else f"tuple[{', '.join(map(str, parts))}]"
    name = type(value).__name__
    if name == "dtype":
        return "torch.dtype"
    return name if name in SIMPLE else None
