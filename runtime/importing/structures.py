"""What modules are given and return: nests of Python's containers with tensors in them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from runtime.importing.sizes import plain


def shapes_of(args: Sequence[Any]) -> list[tuple[int, ...] | None]:
    return [tuple(map(plain, each.shape)) if isinstance(each, Tensor) else None for each in args]


def memory_of(tensor: Tensor) -> int:
    """Return a number for the memory that a tensor lies in."""
    return int(tensor.untyped_storage()._cdata)


def tensors_in(structure: Any) -> Iterator[Tensor]:
    """Yield the tensors in a nest of Python's containers."""
    structure = unpacked(structure)
    if isinstance(structure, Tensor):
        yield structure
    elif isinstance(structure, Mapping):
        yield from tensors_in(tuple(structure.values()))
    elif isinstance(structure, tuple | list):
        for each in structure:
            yield from tensors_in(each)


def holds_values(given: Any) -> bool:
    """Return whether an argument is for the program, and not decided once and for all."""
    given = unpacked(given)
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
    """Return a dataclass as a dict of what is there in it, and anything else as it is."""
    fields = getattr(type(result), "__dataclass_fields__", None)
    if fields is None or isinstance(result, Mapping):
        return result
    return {name: getattr(result, name) for name in fields if getattr(result, name, None) is not None}


def replaced(container: Any, change: Callable[[Any], Any]) -> Any:
    """Return a container of the same type with its items changed, and anything else as it is."""
    if type(container) in (tuple, list, torch.Size):
        return type(container)(map(change, container))
    if type(container) is dict:
        return {key: change(each) for key, each in container.items()}
    if isinstance(container, tuple) and hasattr(container, "_fields"):
        return type(container)(*map(change, container))
    if hasattr(type(container), "__dataclass_fields__"):
        made = copy.copy(container)
        for name, each in unpacked(container).items():
            setattr(made, name, change(each))
        return made
    return container


def single(result: Any) -> Any:
    """Return the tensor of a tuple, dict or dataclass that has nothing else."""
    items = unpacked(result)
    items = list(items.values()) if isinstance(items, Mapping) else items
    if not isinstance(items, tuple | list):
        return result
    there = [each for each in items if each is not None]
    return there[0] if len(there) == 1 and isinstance(there[0], Tensor) else result
