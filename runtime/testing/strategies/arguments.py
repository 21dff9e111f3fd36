"""Values for the arguments of a layer, from its annotations."""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import Any, Literal, Union

from hypothesis import strategies as st

from compiler.catalogue.annotations import fits_argument
from compiler.catalogue.layer_types import REQUIRED, Argument

SIZES = st.integers(1, 4)
FLOATS = (0.5, 1.0, 0.1, 2.0)


def arguments(argument: Argument) -> st.SearchStrategy[Any] | None:
    """Return what to draw for an argument, None where its annotation does not say.

    An optional argument is drawn among values that its annotation allows, near its default: a float that is less
    than 1 by default may be a probability, and stays one.
    """
    default = argument.default
    found = of_annotation(argument.annotation)
    if default is REQUIRED or found is None:
        return found
    if isinstance(default, float):
        return st.sampled_from([default, default / 2])
    return found.filter(lambda value: fits_argument(value, argument))


def of_annotation(annotation: Any) -> st.SearchStrategy[Any] | None:
    """Return what to draw for an annotation, None where it does not say what may be drawn."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: SIZES,
        float: st.sampled_from(FLOATS),
        bool: st.booleans(),
        None: st.none(),
        type(None): st.none(),
    }
    if annotation in simple:
        return simple[annotation]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in (Union, types.UnionType):
        found = [each for each in map(of_annotation, parts) if each is not None]
        return st.one_of(found) if found else None
    if origin is typing.Annotated:
        return of_annotation(parts[0])
    if origin is tuple and Ellipsis not in parts:
        items = [of_annotation(each) for each in parts]
        known = [each for each in items if each is not None]
        return st.tuples(*known).map(list) if len(known) == len(items) else None
    if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
        item = of_annotation(parts[0])
        return None if item is None else st.lists(item, min_size=1, max_size=3)
    return None
