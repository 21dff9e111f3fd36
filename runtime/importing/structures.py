"""What modules are given and return: nests of Python's containers with tensors in them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from runtime.importing.sizes import plain


def shapes_of(args: Sequence[Any]) -> list[tuple[int, ...] | None]:
    return [tuple(map(plain, each.shape)) if isinstance(each, Tensor) else None for each in args]


def memory_of(tensor: Tensor) -> int:
    """Return a number for the memory that a tensor lies in."""
    return int(tensor.untyped_storage()._cdata)


def tensors_in(structure: Any) -> Iterator[Tensor]:
    """Yield the tensors in a nest of Python's containers."""
    if isinstance(structure, Tensor):
        yield structure
    elif isinstance(structure, Mapping):
        yield from tensors_in(tuple(structure.values()))
    elif isinstance(structure, tuple | list):
        for each in structure:
            yield from tensors_in(each)


def holds_values(given: Any) -> bool:
    """Return whether an argument is for the program, and not decided once and for all."""
    if isinstance(given, Mapping):
        return any(map(holds_values, given.values()))
    if isinstance(given, tuple | list):
        return any(map(holds_values, given))
    return isinstance(given, Tensor) or (isinstance(given, int | float) and not isinstance(given, bool))


def bound_arguments(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a module was called with, by the names of its `forward`."""
    signature = inspect.signature(module.forward)
    bound = signature.bind(*args, **kwargs)
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            found["*"] = value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        else:
            found[name] = value
    if "*" in found:  # what stands in front of `*args` is given by position, too
        front = [name for name in found if name != "*" and signature.parameters.get(name) is not None]
        found = {"*": (*[found.pop(name) for name in front], *found["*"]), **found}
    return found


def unpacked(result: Any) -> Any:
    """Return what a module returned, dataclasses as dicts."""
    fields = getattr(type(result), "__dataclass_fields__", None)
    if fields is not None and not isinstance(result, Mapping):
        return {name: getattr(result, name) for name in fields}
    return result
