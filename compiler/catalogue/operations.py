"""From the name of an operation to the callable, its signature and its documentation.

Names are looked up in the closed table and nowhere else. Signatures exist so that a misspelt keyword is
reported with a suggestion before anything runs. They are never stricter than torch, because the real call,
on the meta device, has the last word: where a signature is not known for certain, everything is accepted.

torch is imported on first use, so that reading the table stays cheap.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Literal

from compiler.catalogue.docstrings import first_sentence
from compiler.catalogue.operation_table import (
    COSTLY,
    FORBIDDEN_ARGUMENTS,
    FORBIDDEN_KEYWORDS,
    FUNCTIONS,
    METHODS,
    MODE_ARGUMENTS,
    MOST_TENSORS,
    TRAINING,
)

__all__ = [
    "FORBIDDEN_KEYWORDS",
    "CallProblem",
    "Excess",
    "Signature",
    "UnavailableOperation",
    "available",
    "documentation",
    "excess",
    "follows_mode",
    "method_available",
    "method_signature",
    "operation",
    "signature",
]

_ROOTS = ("torch", "einops")

# torch's argument parser takes NumPy's names beside its own in every built-in function.
_NUMPY_NAMES = {"dim": ("axis",), "keepdim": ("keepdims",), "input": ("x", "a", "x1"), "other": ("x2",)}

# Old call forms put these keyword-only numbers between the tensors: add(input, alpha, other).
_ONCE_POSITIONAL = frozenset({"alpha", "beta", "value"})

# Bindings written by hand, for which torch keeps no schema that matches what Python may pass.
_HAND_BOUND: dict[str, tuple[str, ...]] = {
    "torch.tensor": ("data", "*", "dtype", "device"),
    "Tensor.to": ("device", "dtype", "non_blocking", "copy", "*", "memory_format", "tensor"),
    "torch.nonzero": ("input", "*", "as_tuple"),
    "Tensor.nonzero": ("*", "as_tuple"),
    "Tensor.new_tensor": ("data", "*", "dtype", "device"),
    "Tensor.type": ("dtype", "non_blocking", "**"),
    "Tensor.ndimension": (),
    "Tensor.nelement": (),
}


class UnavailableOperation(LookupError):
    """The table has the operation, but the installed torch does not."""


@dataclass(frozen=True)
class CallProblem:
    """Why a call is refused before it is made.

    ``keyword`` is the offender of the two keyword kinds and ``limit`` the number of positional arguments that
    there may be; ``candidates`` are the keywords that would have been understood, for a suggestion.
    """

    kind: Literal["forbidden-keyword", "unknown-keyword", "too-many-positional"]
    keyword: str | None = None
    limit: int | None = None
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """What an operation or a method takes: it is enough that one of the overloads accepts a call."""

    name: str
    overloads: tuple[inspect.Signature, ...]
    forbidden: frozenset[str] = FORBIDDEN_KEYWORDS

    def keywords(self) -> tuple[str, ...]:
        """Torch's own names of all arguments that may be given by keyword, without NumPy's synonyms."""
        synonyms = {synonym for names in _NUMPY_NAMES.values() for synonym in names}
        found = dict.fromkeys(name for overload in self.overloads for name in _names(overload))
        return tuple(name for name in found if name not in synonyms and not name.startswith("_"))

    def check(self, positional: int, keywords: Iterable[str]) -> CallProblem | None:
        """Return why no overload can take so many positional arguments and these keywords, None if one can."""
        given = tuple(keywords)
        for keyword in given:
            if keyword in self.forbidden:
                return CallProblem("forbidden-keyword", keyword, candidates=self.keywords())
        understanding = [each for each in self.overloads if all(_takes(each, keyword) for keyword in given)]
        if not understanding:
            return CallProblem("unknown-keyword", self._stranger(given), candidates=self.keywords())
        limits = [_limit(each) for each in understanding]
        known = [limit for limit in limits if limit is not None]
        if len(known) < len(limits) or positional <= max(known):
            return None
        return CallProblem("too-many-positional", limit=max(known), candidates=self.keywords())

    def _stranger(self, keywords: tuple[str, ...]) -> str:
        """Return the keyword that the fewest overloads know: the one that is most likely misspelt."""
        return min(keywords, key=lambda keyword: sum(_takes(each, keyword) for each in self.overloads))


def available(name: str) -> bool:
    """Return whether the installed torch has the operation. Raises KeyError for a name that the table lacks."""
    try:
        operation(name)
    except UnavailableOperation:
        return False
    return True


@functools.cache
def operation(name: str) -> Callable[..., Any]:
    """Return the callable behind a spec name.

    KeyError where the table has no such name, UnavailableOperation where the installed torch has not.
    """
    path = FUNCTIONS[name]
    root, *rest = path.split(".")
    if root not in _ROOTS:
        raise KeyError(name)
    found: Any = importlib.import_module(root)
    try:
        for part in rest:
            found = getattr(found, part)
    except AttributeError as error:
        raise UnavailableOperation(f"the installed torch has no {path}") from error
    if not callable(found) or inspect.isclass(found):
        raise UnavailableOperation(f"{path} is not a function in the installed torch")
    function: Callable[..., Any] = found
    return function


def method_available(name: str) -> bool:
    """Return whether the installed torch has the tensor method. Raises KeyError for a name that the table lacks."""
    return _method(name) is not None


@functools.cache
def signature(name: str) -> Signature:
    """Return what the operation takes. Positional arguments count from the first: the tensor, where there is one."""
    function = operation(name)
    path = FUNCTIONS[name]
    overloads = _hand_bound(path) or _from_python(function) or _from_schemas(function.__name__, method=False)
    overloads = overloads or _from_overrides(function, method=False) or (_anything(),)
    if path.startswith("einops."):  # its free keywords are names of axes, and an axis may be called `out`
        return Signature(name, overloads, frozenset())
    forbidden = FORBIDDEN_KEYWORDS | FORBIDDEN_ARGUMENTS.get(name, frozenset())
    return _without(Signature(name, overloads), forbidden)


@functools.cache
def method_signature(name: str) -> Signature:
    """Return what the tensor method takes, the tensor itself left out."""
    method = _method(name)
    if method is None:
        raise UnavailableOperation(f"the installed torch has no Tensor.{name}")
    overloads = _hand_bound(f"Tensor.{name}") or _from_python(method, method=True)
    overloads = overloads or _from_schemas(name, method=True) or _from_overrides(method, method=True)
    overloads = overloads or (_anything(),)
    return _without(Signature(name, overloads), FORBIDDEN_KEYWORDS)


def follows_mode(name: str, positional: int, keywords: Iterable[str]) -> bool:
    """Return whether a call takes the mode of its module: the operation asks for one, and the call gives none."""
    argument, place = MODE_ARGUMENTS.get(name, (None, 0))
    return argument == TRAINING and positional <= place and TRAINING not in keywords


@dataclass(frozen=True)
class Excess:
    """An argument of a call that would cost too much. Without an argument it is the number of tensors."""

    argument: str | None
    value: float | None
    """None for a tensor: what is in it is not known."""
    limit: int


def excess(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Excess | None:
    """Return which argument of an operation, or of the method of that name, is larger than the table allows."""
    bounds = COSTLY.get(name, {})
    for argument, value in _given(name, arguments, keywords) if bounds else ():
        limit = bounds.get(argument)
        if limit is not None and hasattr(value, "shape"):
            return Excess(argument, None, limit)
        if limit is not None and isinstance(value, int | float) and value > limit:
            return Excess(argument, value, limit)
    most = MOST_TENSORS.get(name)
    given = arguments[0] if arguments and isinstance(arguments[0], list | tuple) else arguments
    return Excess(None, len(given), most) if most is not None and len(given) > most else None


def _given(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a call by their names, in every overload that they fit."""
    for overload in signature(name).overloads:
        try:
            yield from overload.bind_partial(*arguments, **keywords).arguments.items()
        except TypeError:
            continue


def documentation(name: str) -> str:
    """Return what the operation does: the first sentence of its own documentation, or nothing where it has none."""
    leaf = FUNCTIONS[name].rsplit(".", 1)[-1]
    text = first_sentence(inspect.getdoc(operation(name)) or "", leaf)
    if text or not FUNCTIONS[name].startswith("torch."):
        return text
    import torch.nn.functional

    twin = getattr(torch.nn.functional, leaf, None)  # torch.relu is documented as torch.nn.functional.relu
    return first_sentence(inspect.getdoc(twin) or "", leaf) if twin else ""


def _method(name: str) -> Callable[..., Any] | None:
    if name not in METHODS:
        raise KeyError(name)
    import torch

    return getattr(torch.Tensor, name, None)


# --- where signatures come from -------------------------------------------------------------------------


def _hand_bound(path: str) -> tuple[inspect.Signature, ...]:
    """Return the signature noted here for a binding that torch does not describe."""
    names = _HAND_BOUND.get(path)
    if names is None:
        return ()
    parameters, after_star = [], False
    for name in names:
        if name == "*":
            after_star = True
        elif name == "**":
            parameters.append(Parameter("others", Parameter.VAR_KEYWORD))
        elif after_star:
            parameters.append(Parameter(name, Parameter.KEYWORD_ONLY))
        else:
            parameters.append(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD))
    return (_with_synonyms(parameters),)


def _from_python(function: Callable[..., Any], method: bool = False) -> tuple[inspect.Signature, ...]:
    """Return the signature of a function written in Python; none for a built-in."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return ()
    parameters = list(found.parameters.values())[1 if method else 0 :]
    if [each.kind for each in parameters] == [Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD]:
        return _from_overrides(function, method)
    return (inspect.Signature(parameters),)


def _from_overrides(function: Callable[..., Any], method: bool) -> tuple[inspect.Signature, ...]:
    """Return the signature in torch's own table of everything that a tensor subclass can override."""
    import torch.overrides

    stand_in = torch.overrides.get_testing_overrides().get(function)
    if stand_in is None:
        return ()
    parameters = list(inspect.signature(stand_in).parameters.values())
    return (inspect.Signature(parameters[1 if method else 0 :]),)


def _from_schemas(name: str, method: bool) -> tuple[inspect.Signature, ...]:
    """Return the signatures of a built-in function, from the schemas of the operator behind it."""
    import torch

    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return tuple(_from_schema(schema, method) for schema in schemas if not schema.is_mutable)


def _from_schema(schema: Any, method: bool) -> inspect.Signature:
    """One overload: Python calls ``self`` ``input``, and a lone list of numbers may be spread out."""
    positional, keyword_only, spread = [], [], False
    for argument in schema.arguments:
        if method and argument.name == "self":
            continue
        name = "input" if argument.name == "self" else argument.name
        if argument.kwarg_only:
            keyword_only.append(Parameter(name, Parameter.KEYWORD_ONLY))
        else:
            positional.append(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD))
            spread = len(positional) == 1 and "List[int]" in argument.type.annotation_str
    once = sum(each.name in _ONCE_POSITIONAL for each in keyword_only)
    old_style = [Parameter(f"_{index}", Parameter.POSITIONAL_ONLY) for index in range(once)]
    rest = [Parameter("sizes", Parameter.VAR_POSITIONAL)] if spread else []
    return _with_synonyms([*old_style, *positional, *rest, *keyword_only])


def _with_synonyms(parameters: list[Parameter]) -> inspect.Signature:
    """Return the signature with NumPy's names of its arguments beside torch's."""
    taken = {each.name for each in parameters}
    synonyms = (synonym for name in taken for synonym in _NUMPY_NAMES.get(name, ()) if synonym not in taken)
    extra = [Parameter(name, Parameter.KEYWORD_ONLY) for name in sorted(synonyms)]
    return inspect.Signature(sorted([*parameters, *extra], key=lambda each: each.kind))


def _anything() -> inspect.Signature:
    """Return the signature of what is not known: the real call decides."""
    return inspect.Signature(
        [Parameter("arguments", Parameter.VAR_POSITIONAL), Parameter("keywords", Parameter.VAR_KEYWORD)]
    )


# --- reading signatures ---------------------------------------------------------------------------------


def _without(found: Signature, forbidden: frozenset[str]) -> Signature:
    """Return the signature with the forbidden arguments out of reach, by keyword and by position."""
    overloads = tuple(inspect.Signature(list(_reachable(each, forbidden))) for each in found.overloads)
    return Signature(found.name, overloads, forbidden)


def _reachable(overload: inspect.Signature, forbidden: frozenset[str]) -> Iterator[Parameter]:
    """Return the parameters that stay: behind a forbidden one, the rest can be given by keyword alone."""
    past_one = False
    for parameter in overload.parameters.values():
        if parameter.name in forbidden:
            past_one = past_one or parameter.kind is not Parameter.KEYWORD_ONLY
        elif past_one and parameter.kind is Parameter.POSITIONAL_OR_KEYWORD:
            yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
        elif not (past_one and parameter.kind is Parameter.VAR_POSITIONAL):
            yield parameter


def _names(overload: inspect.Signature) -> Iterator[str]:
    """Return the names that an overload takes by keyword."""
    for parameter in overload.parameters.values():
        if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            yield parameter.name


def _takes(overload: inspect.Signature, keyword: str) -> bool:
    free = any(each.kind is Parameter.VAR_KEYWORD for each in overload.parameters.values())
    return free or keyword in _names(overload)


def _limit(overload: inspect.Signature) -> int | None:
    """Return how many positional arguments an overload takes, or None for any number."""
    kinds = [each.kind for each in overload.parameters.values()]
    if Parameter.VAR_POSITIONAL in kinds:
        return None
    return sum(kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
