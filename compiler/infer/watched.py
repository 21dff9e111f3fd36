"""Calls that may be long: the clock is looked at in each step that torch takes inside of them.

One call may be any number of steps, as of a layer that is many. Looking costs a little in each of them, so that it is
done where a number is large, and in layers of plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from torch import Tensor

from compiler.infer.dispatch import DispatchMode
from spec_schema.clock import check_time
from spec_schema.source import Span

LARGE = 1_000
"""A size or a number from which on a call is watched."""
MANY = 64
"""Values in one call."""


class _Watch(DispatchMode):
    def __init__(self, place: Span | Callable[[], Span], notes: Callable[[], tuple[str, ...]]) -> None:
        super().__init__()
        self.place, self.notes = place, notes

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if _makes_tensors(func):
            check_time(self.place, self.notes)
        return func(*args, **(kwargs or {}))


@cache
def _makes_tensors(func: Any) -> bool:
    """Return whether an operation makes tensors, and does not only ask for the device of one or the like.

    Torch's C++ asks such questions where it cannot pass an error on: one that is raised there ends the process.
    """
    return any("Tensor" in str(each.type) for each in func._schema.returns)


@contextmanager
def watched(place: Span | Callable[[], Span], notes: Callable[[], tuple[str, ...]]) -> Iterator[None]:
    """Let the clock end what torch does inside a `with`."""
    with _Watch(place, notes):
        yield


def call_watched(
    place: Span | Callable[[], Span],
    notes: Callable[[], tuple[str, ...]],
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> Any:
    """Call a function of torch, which the clock can end where that may take long."""
    if not may_be_long([*arguments, *keywords.values()]):
        return function(*arguments, **keywords)
    with watched(place, notes):
        return function(*arguments, **keywords)


def may_be_long(values: Iterable[Any]) -> bool:
    """Return whether a call with these values may take many steps."""
    flat = list(_flat(values))
    return len(flat) > MANY or any(type(each) is int and each > LARGE for each in flat)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the numbers in nested values, and the sizes of the tensors."""
    for value in values:
        if isinstance(value, Tensor):
            yield from value.shape
        elif isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value
