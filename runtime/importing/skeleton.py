"""A module without its values: what is run to be recorded, so that nobody's module is touched."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from runtime.importing.leaves import catalogue_layer, is_leaf, mark_blocks, tensors_of_base
from runtime.importing.records import Value
from runtime.importing.sizes import Observer, traced
from runtime.named_tensors import named_tensors

MOST_ITEMS = 8
_OF_TORCH = ("torch.nn.modules.container", "torch.nn.utils.")


class Skeleton:
    """A copy of a module whose tensors are on a device without memory, and what is called what in it."""

    def __init__(self, module: nn.Module, device: str = "meta") -> None:
        self.device = device
        self.root = copied(module, torch.device(device))
        register_loose(self.root)
        self.modules: dict[nn.Module, list[str]] = {}
        for name, each in self.root.named_modules(remove_duplicate=False):
            self.modules.setdefault(each, []).append(name)
        mark_blocks(self.root)
        self.tensors: dict[int, list[str]] = {}
        for name, tensor in named_tensors(self.root):
            self.tensors.setdefault(id(tensor), []).append(name)
        self.owner_of: dict[int, nn.Module] = {}
        """The modules of attributes that are numbers, by the identity of their values."""
        self.attributes: dict[int, Value] = {}

    def name_of(self, module: nn.Module) -> str:
        return f"{self.modules[module][0] or 'the model'} ({type(module).__name__})"

    def path_of(self, tensor: Tensor, inside: nn.Module) -> str | None:
        """Return the dotted path of a parameter or buffer from a module that holds it."""
        return _path(self.tensors.get(id(tensor), []), self.modules[inside])

    def paths_between(self, outer: nn.Module, inner: nn.Module) -> list[str]:
        """Return the dotted paths of a module from one that holds it, in the order in which they stand there."""
        found = [_path([name], self.modules[outer][:1]) for name in self.modules[inner]]
        return [each for each in found if each is not None]

    def adds_to(self, module: nn.Module) -> bool:
        """Return whether a module holds more than the layer that it extends."""
        tensors = {*module._parameters, *module._buffers} - tensors_of_base(module)
        return bool(module._modules) or any(getattr(module, name) is not None for name in tensors)

    def trace_numbers(self, observer: Observer) -> None:
        """Put numbers that know their names in the place of the modules' own."""
        for module in self.modules:
            if is_leaf(module) or type(module).__module__.startswith(_OF_TORCH):
                continue
            inherited = _numbers_of_torch(module)
            for name, found in list(vars(module).items()):
                if not name.startswith("_") and name not in inherited:
                    vars(module)[name] = self._traced(module, name, found, observer)

    def _traced(self, module: nn.Module, name: str, found: Any, observer: Observer) -> Any:
        if isinstance(found, bool):
            return found
        if isinstance(found, int | float):
            value = Value("attribute", name, number=found)
            self.owner_of[id(value)] = module
            self.attributes[id(value)] = value
            return traced(found, value, observer)
        if type(found) in (tuple, list) and 0 < len(found) <= MOST_ITEMS and all(map(_is_number, found)):
            return type(found)(
                self._traced(module, f"{name}[{place}]", each, observer) for place, each in enumerate(found)
            )
        return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers_of_torch(module: nn.Module) -> frozenset[str]:
    """Return the attributes that a layer of torch's reads itself, in a class that extends one."""
    if any(catalogue_layer(cls) is not None for cls in type(module).__mro__):
        return frozenset(name for cls in type(module).__mro__ for name in getattr(cls, "__constants__", ()))
    return frozenset()


def _path(names: list[str], prefixes: list[str]) -> str | None:
    for prefix in prefixes:
        for name in names:
            if prefix == "":
                return name
            if name.startswith(f"{prefix}."):
                return name[len(prefix) + 1 :]
    return None


def register_loose(root: nn.Module) -> None:
    """Let tensors that are mere attributes of modules be buffers that are not saved."""
    for module in root.modules():
        for name in [name for name, each in vars(module).items() if isinstance(each, Tensor)]:
            module.register_buffer(name, vars(module).pop(name), persistent=False)


def held_tensors(root: nn.Module) -> dict[str, Tensor]:
    """Return all parameters, buffers and tensors that are mere attributes, under all of their names."""
    loose = {
        f"{path}.{name}".lstrip("."): each
        for path, module in root.named_modules(remove_duplicate=False)
        for name, each in vars(module).items()
        if isinstance(each, Tensor)
    }
    return {**dict(named_tensors(root)), **loose}


def copied(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of a module, its tensors on another device, without copying their values before."""
    memo: dict[int, Any] = {}
    for each in module.modules():
        for tensor in (*each._parameters.values(), *each._buffers.values(), *_loose_tensors(each)):
            if tensor is not None and id(tensor) not in memo:
                memo[id(tensor)] = _moved(tensor, device)
    return copy.deepcopy(module, memo)


def _loose_tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from (each for each in vars(module).values() if isinstance(each, Tensor))


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    moved = tensor.detach().to(device, copy=True)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved
