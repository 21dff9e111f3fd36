"""Numbers that know where they come from.

They are ordinary numbers to whoever computes with them, so that any module runs on them as always; what is computed of
them knows its formula. A comparison is decided by the number, like in the run that it takes part in.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Protocol

from runtime.importing.records import Value

Number = int | float


class Observer(Protocol):
    """Who is told what is computed of numbers."""

    def computed(self, name: str, args: tuple[Any, ...], result: Number) -> Number:
        """Return the result as a number that knows its formula."""
        ...


class TracedInt(int):
    """A whole number of known origin."""

    value: Value
    observer: Observer


class TracedFloat(float):
    """A floating-point number of known origin."""

    value: Value
    observer: Observer


def traced(number: Number, value: Value, observer: Observer) -> Number:
    """Return a number that knows where it comes from."""
    made = TracedInt(number) if isinstance(number, int) else TracedFloat(number)
    made.value, made.observer = value, observer
    return made


BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("+", operator.add),
    "sub": ("-", operator.sub),
    "mul": ("*", operator.mul),
    "truediv": ("/", operator.truediv),
    "floordiv": ("//", operator.floordiv),
    "mod": ("%", operator.mod),
    "pow": ("**", operator.pow),
}
UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "neg": ("-", operator.neg),
    "ceil": ("ceil", math.ceil),
    "floor": ("floor", math.floor),
    "round": ("round", round),
    "abs": ("abs", abs),
}


def plain(number: Any) -> Any:
    """Return a number without its origin."""
    if isinstance(number, TracedInt):
        return int.__int__(number)
    return float.__float__(number) if isinstance(number, TracedFloat) else number


def _binary(name: str, function: Callable[[Any, Any], Any], swapped: bool) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, bool) or not isinstance(other, int | float):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return self.observer.computed(name, pair, function(*map(plain, pair)))

    return method


def _unary(name: str, function: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(self: Any, *digits: Any) -> Any:
        if digits:
            return function(plain(self), *digits)
        return self.observer.computed(name, (self,), function(plain(self)))

    return method


_PLAINLY: dict[str, Callable[..., Any]] = {
    "__deepcopy__": lambda self, memo: plain(self),
    "__reduce__": lambda self: (type(plain(self)), (plain(self),)),
}

for _cls in (TracedInt, TracedFloat):
    for _method, (_symbol, _function) in BINARY.items():
        setattr(_cls, f"__{_method}__", _binary(_symbol, _function, swapped=False))
        setattr(_cls, f"__r{_method}__", _binary(_symbol, _function, swapped=True))
    for _method, (_symbol, _unary_function) in UNARY.items():
        setattr(_cls, f"__{_method}__", _unary(_symbol, _unary_function))
    # A copy of a module, or a constant of torch's, keeps the plain number.
    for _method, _plainly in _PLAINLY.items():
        setattr(_cls, _method, _plainly)
