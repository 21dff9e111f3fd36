"""The names of dimensions, carried along while a model runs over example sizes.

Each function has a rule in `rules.py` that says which sizes of its result are which of its arguments. A function
without a rule, and a size that is asked for its value, end the run: torch's own symbols have to tell then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from compiler.artifact import Artifact
from compiler.catalogue.unheard import unheard
from compiler.infer.known_forms import known_form
from compiler.infer.named_size import Size, UnknownSizeError, named, value_of
from compiler.infer.remembered import made_again
from runtime.named.rules import RULES
from runtime.named.sizes import Sizes, mark, sizes_of
from runtime.operations import Operations
from spec_schema.evaluate import evaluate

SIZES = frozenset({Tensor.shape.__get__, Tensor.size})  # type: ignore[attr-defined]
FACTS = (bool, torch.dtype, torch.device, torch.layout, type(None))
"""Types of results that hold no size."""
COUNTS = frozenset({Tensor.dim, Tensor.ndim.__get__})  # type: ignore[attr-defined]
"""How many dimensions there are."""


class NamedDimensions(TorchFunctionMode):
    """Marks each result with the names of its dimensions. What a formula says the form of is not run, but counted.

    Raises:
        UnknownSizeError: they do not follow.
    """

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self.operations = operations

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in SIZES:
            return _shape(*args, **given)
        plain = _plain(list(args)), {key: _plain(value) for key, value in given.items()}
        result = self._result(func, *plain)
        if _is_named([*args, *given.values()]) and not (isinstance(result, FACTS) or func in COUNTS):
            mark(result, _sizes(func, result, args, given))
        return result

    def _result(self, func: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        with unheard():
            form = known_form(func, arguments, keywords)
        if form is None:
            return func(*arguments, **keywords)
        made = made_again(form)
        self.operations.add(func, arguments, made)
        return made


def _sizes(func: Any, result: Any, args: Sequence[Any], given: Mapping[str, Any]) -> Any:
    """Return the sizes of a result. A call may be in a form that torch knows, and its rule does not."""
    rule, name = RULES.get(func), getattr(func, "__name__", str(func))
    if rule is None:
        raise UnknownSizeError(name)
    try:
        return rule(result, *args, **given)
    except (LookupError, TypeError, ValueError) as error:
        raise UnknownSizeError(name) from error


def _shape(tensor: Tensor, dim: int | None = None) -> Any:
    sizes = sizes_of(tensor)
    return torch.Size(sizes) if dim is None else sizes[dim]


def _plain(value: Any) -> Any:
    """Return a value with the examples of its sizes."""
    if isinstance(value, Size):
        return value.value
    if isinstance(value, slice):
        return slice(*map(value_of, (value.start, value.stop, value.step)))
    if type(value) in (list, tuple, torch.Size):
        return tuple(map(_plain, value)) if type(value) is not list else list(map(_plain, value))
    return value


def _is_named(values: Sequence[Any]) -> bool:
    for value in values:
        if isinstance(value, Size):
            return True
        if isinstance(value, Tensor):
            if any(isinstance(size, Size) for size in sizes_of(value)):
                return True
        elif isinstance(value, slice):
            if _is_named((value.start, value.stop, value.step)):
                return True
        elif isinstance(value, list | tuple) and _is_named(value):
            return True
    return False


def named_inputs(artifact: Artifact) -> dict[str, Tensor]:
    """Return an input of example sizes for each of a model, with the names of its dimensions.

    Raises:
        UnknownSizeError: a dimension is no product of names.
    """
    names = {**artifact.program.variables, **named(artifact.program.sizes)}
    found = {}
    for entry in artifact.program.inputs:
        like = artifact.inferred.inputs[entry.name]
        sizes: Sizes = tuple(evaluate(part, names) for part in entry.type.dimensions)
        with unheard():
            found[entry.name] = torch.empty(like.shape, dtype=like.dtype, device="meta")
        mark(found[entry.name], sizes)
    return found
