"""What a name can hold while a program is interpreted, and how such a value is described to a person."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from compiler.catalogue.unheard import unheard
from compiler.infer.placed import place_of
from compiler.infer.symbols import shape_text
from compiler.program import Argument, Call
from spec_schema.scalars import shorten
from spec_schema.source import Span


@dataclass(frozen=True, eq=False)
class Undecided:
    """A value that differs between the ways that data may take. Using it is an error."""

    message: str
    help: str | None
    place: Span
    """The condition that data decides."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """A block's argument that is a call or a type: each place that uses it makes a layer of its own."""

    call: Call
    positional: tuple[object, ...]
    keywords: Mapping[str, object]
    places: Mapping[int | str, Argument] = field(default_factory=dict)
    """Where each argument stands."""

    @property
    def key(self) -> Hashable:
        return (self.call.target, id(self.call.scope), freeze(self.positional), freeze(dict(self.keywords)))

    def __str__(self) -> str:
        parts = [show(value) for value in self.positional]
        parts += [f"{name}={show(value)}" for name, value in self.keywords.items()]
        return f"{self.call.target}({', '.join(parts)})" if parts else self.call.target


def holds_recipe(value: object) -> bool:
    """Return whether a value is a layer to be made, or a list with one in it."""
    if isinstance(value, list | tuple):
        return any(map(holds_recipe, value))
    return isinstance(value, Recipe)


def form_of(value: Any) -> Hashable:
    """Return a key of a value that is the same whatever numbers the layers in it are given."""
    if isinstance(value, list | tuple):
        return tuple(map(form_of, value))
    if not isinstance(value, Recipe):
        return freeze(value)
    given = [*enumerate(value.positional), *value.keywords.items()]
    inside = tuple((name, form_of(each) if holds_recipe(each) else None) for name, each in given)
    return (value.call.target, id(value.call.scope), inside)


SHOWN = 8
"""Items of a list."""


def freeze(value: Any) -> Hashable:
    """Return a hashable key of a value: equal keys stand for values that a program cannot tell apart.

    Raises:
        TypeError: the value is a layer, which has an identity.
    """
    match value:
        case Tensor():
            with unheard():
                return ("tensor", tuple(map(_size, value.shape)), value.dtype, place_of(value))
        case list() | tuple():
            return (type(value).__name__, tuple(freeze(item) for item in value))
        case dict():
            return ("dict", tuple((key, freeze(item)) for key, item in value.items()))
        case Recipe():
            return ("recipe", value.key)
        case torch.SymInt():
            return ("size", str(value))
        case (
            None | bool() | int() | float() | str() | torch.dtype() | torch.device() | torch.Size() | range()
        ):
            return (type(value).__name__, value)
    raise TypeError(type(value).__name__)


def _size(size: Any) -> Hashable:
    return str(size) if isinstance(size, torch.SymInt) else size


def show(value: Any) -> str:
    """Return a value as a person would write it; a tensor as its shape."""
    match value:
        case Tensor():
            return shape_text(value)
        case Recipe():
            return str(value)
        case list() | tuple():
            inside = ", ".join([*(show(item) for item in value[:SHOWN]), *["..."] * (len(value) > SHOWN)])
            return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
        case dict():
            return "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
        case str():
            return repr(shorten(value))
    return str(value)


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors of a nested value, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in tensors_in(item)]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


def same_form(a: Any, b: Any) -> bool:
    """Return whether two values have the same form: tensors of one shape and dtype, or equal plain values."""
    try:
        return freeze(a) == freeze(b)
    except TypeError:
        return a is b
