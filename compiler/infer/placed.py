"""Tensors that know their device, for the check of a placement. All of them are on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spec_schema.source import Span


@dataclass(frozen=True)
class Owned:
    """A parameter or buffer, which stays where it is, with the rule that placed it."""

    name: str
    rule: Span | None


class Placed(Tensor):
    """A tensor that would be on the device `place`. `owned` is None for a value that may move."""

    place: str
    owned: Owned | None

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def put(tensor: Tensor, place: str, owned: Owned | None = None) -> Placed:
    """Return a tensor on a device. The tensor that is given stays as it is."""
    made = tensor.detach().as_subclass(Placed)
    made.place, made.owned = place, owned
    return made


def place_of(value: object) -> str | None:
    """Return the device of a tensor where it is known."""
    return value.place if isinstance(value, Placed) else None


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Return a nested value with its tensors replaced."""
    match value:
        case Tensor():
            return function(value)
        case dict():
            return {key: map_tensors(function, item) for key, item in value.items()}
        case list() | tuple():
            items = [map_tensors(function, item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def placed_in(value: Any) -> list[Placed]:
    """Return the placed tensors of a nested value, in order."""
    found: list[Placed] = []
    map_tensors(lambda tensor: found.append(tensor) if isinstance(tensor, Placed) else None, value)
    return found
