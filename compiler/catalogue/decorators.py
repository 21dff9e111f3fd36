"""The decorators of plugins: each checks what it is given, and leaves a mark on it that loading finds."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

from compiler.catalogue.hints import Hints

Kind = Literal["layer", "operation", "initializer", "dataset", "parametrization"]

_MARK = "__blockprint__"
_LONGEST_NAME = 64

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Registration:
    """The mark that a decorator leaves."""

    kind: Kind
    name: str
    infer: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    hints: Hints = field(default_factory=Hints, compare=False)


def mark_of(member: Any) -> Registration | None:
    """Return the mark on the object itself. A subclass of a registered class is not registered by that."""
    try:
        mark = vars(member).get(_MARK)
    except TypeError:  # an object without attributes of its own
        return None
    return mark if isinstance(mark, Registration) else None


@overload
def layer(target: T, /) -> T: ...
@overload
def layer(
    target: str | None = None, /, *, infer: Mapping[str, str] | None = None, hints: Hints | None = None
) -> Callable[[T], T]: ...
def layer(
    target: Any = None, /, *, infer: Mapping[str, str] | None = None, hints: Hints | None = None
) -> Any:
    """Register an ``nn.Module`` with annotated arguments: ``@layer``, or ``@layer("Name", infer={...})``.

    ``infer`` says which sizes follow from the input: ``{"width": "x.shape[-1]"}``, with ``x`` for the first
    input and a number, counted from 0, for another one. Arguments with torch's names for such sizes
    (``in_features``, ``in_channels``, ...) need no rule. ``hints`` are for ``test-layer``.
    """

    def registration(name: str) -> Registration:
        return Registration("layer", name, MappingProxyType(dict(infer or {})), hints or Hints())

    return _decorator(registration, target, _check_layer)


@overload
def operation(target: T, /) -> T: ...
@overload
def operation(target: str | None = None, /) -> Callable[[T], T]: ...
def operation(target: Any = None, /) -> Any:
    """Register an annotated function of tensors, which must change none of its arguments."""
    return _decorator(partial(Registration, "operation"), target, _check_function)


@overload
def initializer(target: T, /) -> T: ...
@overload
def initializer(target: str | None = None, /) -> Callable[[T], T]: ...
def initializer(target: Any = None, /) -> Any:
    """Register an annotated function as an initialiser."""
    return _decorator(partial(Registration, "initializer"), target, _check_function)


@overload
def dataset(target: T, /) -> T: ...
@overload
def dataset(target: str | None = None, /) -> Callable[[T], T]: ...
def dataset(target: Any = None, /) -> Any:
    """Register a data set: a class, or a function that returns one."""
    return _decorator(partial(Registration, "dataset"), target, _check_dataset)


@overload
def parametrization(target: T, /) -> T: ...
@overload
def parametrization(target: str | None = None, /) -> Callable[[T], T]: ...
def parametrization(target: Any = None, /) -> Any:
    """Register an ``nn.Module`` whose ``forward`` makes a parameter of what is stored for it.

    Its first argument is the parameter itself, which a spec leaves out, if it is annotated as a ``Tensor``.
    """
    return _decorator(partial(Registration, "parametrization"), target, _check_parametrization)


def _decorator(
    registered: Callable[[str], Registration], target: Any, check: Callable[[Any, Registration], None]
) -> Any:
    """Return the decorated object where the decorator is used bare, else the decorator that waits for it."""

    def mark(found: T) -> T:
        name = target if isinstance(target, str) else getattr(found, "__name__", "")
        registration = registered(name)
        check(found, registration)
        setattr(found, _MARK, registration)
        return found

    return mark if target is None or isinstance(target, str) else mark(target)


def registration_of(cls: Any) -> Registration:
    """Return the mark of a layer, or, for a class without one, what is to be said of it as it is.

    An argument without an annotation keeps its default, and what hides behind a star is not passed.

    Raises:
        TypeError: no spec could name the class, or could say what its arguments are.
    """
    mark = mark_of(cls)
    if mark is not None and mark.kind == "layer":
        return mark
    from compiler.catalogue.layers import layer_names, signature_of

    _check_module(cls, f"{called(cls)} is no subclass of torch.nn.Module")
    name: str = cls.__name__
    _check_class_name("layer", name)
    if name in layer_names():
        raise TypeError(
            f"{name} has the name of a layer of torch: give it another one, as in @layer('My{name}')"
        )
    required = [each for each in signature_of(cls).parameters.values() if _is_asked_for(each)]
    _check_annotations(f"layer {name}", required)
    return Registration("layer", name)


def _is_asked_for(parameter: inspect.Parameter) -> bool:
    """Return whether a spec has to give an argument."""
    from compiler.catalogue.deferral import rule_for

    starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return not starred and parameter.default is parameter.empty and rule_for(parameter.name, False) is None


def _check_layer(cls: Any, registration: Registration) -> None:
    name = registration.name
    _check_module(cls, f"@layer is for subclasses of torch.nn.Module, and {called(cls)} is none")
    _check_class_name("layer", name)
    from compiler.catalogue.layers import signature_of

    parameters = signature_of(cls).parameters
    _check_annotations(f"layer {name}", parameters.values())
    for argument, rule in registration.infer.items():
        if argument not in parameters:
            raise TypeError(f"layer {name}: infer names {argument!r}, which is no argument of {called(cls)}")
        _check_rule(name, argument, rule)


def _check_module(cls: Any, message: str) -> None:
    from torch import nn

    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise TypeError(message)


def _check_parametrization(cls: Any, registration: Registration) -> None:
    from torch import nn

    from compiler.catalogue.layers import signature_of

    name = registration.name
    _check_module(cls, f"@parametrization is for subclasses of torch.nn.Module, and {called(cls)} is none")
    _check_class_name("parametrization", name)
    if cls.forward is nn.Module.forward:
        raise TypeError(f"parametrization {name}: {called(cls)} has no forward")
    given = list(signature_of(cls).parameters.values())
    _check_annotations(f"parametrization {name}", given)
    unnamed = next((each.name for each in given if each.kind is each.POSITIONAL_ONLY), None)
    if unnamed is not None:
        raise TypeError(f"parametrization {name}: {unnamed!r} is given by its name: write no `/` behind it")


def _check_class_name(kind: Kind, name: str) -> None:
    _check_name(kind, name, r"[A-Z][A-Za-z0-9_]*", "begin with an upper-case letter")


def _check_rule(name: str, argument: str, rule: str) -> None:
    from compiler.catalogue.deferral import parse_rule

    try:
        parse_rule(rule)
    except ValueError as error:
        raise TypeError(f"layer {name}: infer of {argument!r}: {error}") from None


def _check_function(function: Any, registration: Registration) -> None:
    kind, name = registration.kind, registration.name
    if not inspect.isfunction(function):
        raise TypeError(f"@{kind} is for functions, and {called(function)} is none")
    _check_name(kind, name, r"[a-z][a-z0-9_]*", "be in lower case")
    _check_annotations(f"{kind} {name}", inspect.signature(function).parameters.values())


def _check_dataset(found: Any, registration: Registration) -> None:
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise TypeError(f"@dataset is for classes and functions, and {called(found)} is neither")
    _check_name("dataset", registration.name, r"[A-Za-z][A-Za-z0-9_]*", "be an ASCII identifier")


def _check_name(kind: str, name: str, pattern: str, rule: str) -> None:
    if len(name) > _LONGEST_NAME or re.fullmatch(pattern, name) is None:
        alphabet = f"at most {_LONGEST_NAME} ASCII letters, digits and underscores"
        raise TypeError(f"the name of a {kind} must {rule} ({alphabet}): {name!r}")


def _check_annotations(what: str, parameters: Iterable[inspect.Parameter]) -> None:
    """Specs are checked against annotations, so every argument has one, and none hides behind a star."""
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{what}: write out the arguments behind {parameter}; specs are checked by them")
        if parameter.annotation is parameter.empty:
            example = f"{parameter.name}: int"
            raise TypeError(f"{what}: {parameter.name!r} needs an annotation, such as {example}")


def called(found: Any) -> str:
    return getattr(found, "__qualname__", None) or repr(found)
