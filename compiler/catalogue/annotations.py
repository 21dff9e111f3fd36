"""Whether a value that a spec gives fits an annotation, and how to say what would have fitted.

Values come from compile-time expressions: numbers, strings, lists, None, names of dtypes, and opaque objects
that stand for layers. An annotation that is not understood accepts everything; torch then has the last word.
"""

import collections.abc
import inspect
import types
import typing
from typing import Any, Literal, TypeVar, Union

from compiler.catalogue.layer_types import REQUIRED, Argument

_PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, type(None))
_SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "None"}


def fits_argument(value: object, argument: Argument) -> bool:
    """Return whether the value may be given for the argument. Its default always may."""
    default = argument.default
    if default is not REQUIRED and type(value) is type(default) and value == default:
        return True
    return fits(value, accepted(argument))


def accepted(argument: Argument) -> Any:
    """Return the annotation to check against: the written one, or a lenient one that follows from the default."""
    if argument.annotation is not inspect.Parameter.empty:
        return argument.annotation
    default = argument.default
    if isinstance(default, (bool, str)):
        return type(default)
    if isinstance(default, float):
        return float
    if isinstance(default, int):
        return float | list[float]
    if isinstance(default, (list, tuple)):
        return float | str | list[Any]
    return Any


def fits(value: object, annotation: Any) -> bool:
    """Return whether the value fits the annotation. An integer is a number; a truth value is neither."""
    if annotation is None:
        return value is None
    if annotation in (Any, object, collections.abc.Callable):
        return annotation is not collections.abc.Callable or not isinstance(value, _PLAIN)
    if isinstance(annotation, (str, TypeVar, typing.ForwardRef)):
        return True
    origin = typing.get_origin(annotation)
    if origin is None:
        return _fits_class(value, annotation) if isinstance(annotation, type) else True
    return _fits_generic(value, origin, typing.get_args(annotation))


def _fits_generic(value: object, origin: Any, arguments: tuple[Any, ...]) -> bool:
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in _alternatives(arguments))
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is typing.Annotated:
        return fits(value, arguments[0])
    if origin is collections.abc.Callable:
        return not isinstance(value, _PLAIN)
    if origin is type:
        return not isinstance(value, _PLAIN)
    if origin is tuple:
        return _fits_tuple(value, arguments)
    if origin in _SEQUENCES:
        return isinstance(value, (list, tuple)) and all(fits(each, arguments[0]) for each in value)
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, dict) and all(
            fits(key, arguments[0]) and fits(each, arguments[1]) for key, each in value.items()
        )
    return True


def _alternatives(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the members of a union. Where a function may be given by its name, a spec gives the name."""
    if str not in arguments:
        return arguments
    return tuple(each for each in arguments if typing.get_origin(each) is not collections.abc.Callable)


def _fits_tuple(value: object, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(fits(each, arguments[0]) for each in value)
    return len(value) == len(arguments) and all(map(fits, value, arguments))


def _fits_class(value: object, wanted: type) -> bool:
    if wanted is bool:
        return isinstance(value, bool)
    if wanted in (int, float, complex):
        return _fits_number(value, wanted)
    if wanted in (list, tuple) or wanted in _SEQUENCES:
        return isinstance(value, (list, tuple))
    if _is_size(wanted):
        return fits(value, list[int])
    if not isinstance(value, _PLAIN) and _is_module(wanted):
        return True
    try:
        return isinstance(value, wanted)
    except TypeError:  # a protocol that cannot be checked
        return True


def _fits_number(value: object, wanted: type) -> bool:
    """Numbers, symbolic ones included; True is no number here, because it is always a mistake for one."""
    if isinstance(value, bool):
        return False
    if type(value).__name__ == "SymInt":
        return True
    kinds = {int: (int,), float: (int, float), complex: (int, float, complex)}[wanted]
    return isinstance(value, kinds)


def _is_size(wanted: Any) -> bool:
    """Return whether an annotation is ``torch.Size``, which this module does not import."""
    return getattr(wanted, "__module__", "") == "torch" and getattr(wanted, "__name__", "") == "Size"


def _is_module(wanted: type) -> bool:
    """Return whether an annotation asks for a layer. The caller gives an object that stands for one."""
    bases = ((each.__module__, each.__name__) for each in wanted.__mro__)
    return ("torch.nn.modules.module", "Module") in bases


def describe(annotation: Any) -> str:
    """Return the values that fit, in words: ``an integer or a list of 2 integers``."""
    if annotation is None:
        return "None"
    if _is_size(annotation):
        return "a list of integers"
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return _NAMES.get(annotation, annotation.__name__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(each) for each in _alternatives(arguments)))
    if origin is Literal:
        return " or ".join(repr(each) for each in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)} {_plural(arguments[0])}"
    if origin is tuple or origin in _SEQUENCES:
        return f"a list of {_plural(arguments[0])}"
    if origin is collections.abc.Callable:
        return "a layer type"
    return "a value"


def _plural(annotation: Any) -> str:
    return {int: "integers", float: "numbers", bool: "truth values", str: "texts"}.get(annotation, "values")
