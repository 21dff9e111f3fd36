"""The places of a document: every value in it, by the way that leads there."""

from __future__ import annotations

from typing import Any

Place = tuple[str | int, ...]


def places(value: Any, here: Place = ()) -> list[Place]:
    """Return the places of a value and of everything inside it."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [here, *(inner for key in keys for inner in places(value[key], (*here, key)))]


def at(value: Any, place: Place) -> Any:
    """Return the value at a place."""
    for step in place:
        value = value[step]
    return value
