"""Equal calls of equal layers, run once: what a block of a deep model does, each of its copies does too.

Two layers are equal where the compiler has one state for both, and they are of one class with tensors of equal forms. A
plugin's layers may differ in what nobody sees, and always run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.catalogue.unheard import unheard

EMITTED = "blockprint_"
"""What the modules of emitted source begin with."""
TORCH = "torch.nn."
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, type(None), type(Ellipsis))
CHOSEN = re.compile(r"\bu\d+")
"""A size that data decide: each call has one of its own."""


@dataclass(frozen=True)
class Ended:
    """One call of a layer that came to its end."""

    path: str
    flops: int
    output: Any


@dataclass(eq=False)
class EqualCalls:
    """The calls of one run of a model, in the order in which they end."""

    artifact: Artifact
    counted: Callable[[], int]
    ended: list[Ended] = field(default_factory=list)
    note: Callable[[Ended], None] = lambda each: None
    """Is told of what was not run."""
    spared: int = 0
    """The operations of calls that were not run."""
    known: dict[object, tuple[Any, int, tuple[str, list[Ended]]]] = field(default_factory=dict)
    forms: dict[nn.Module, int | None] = field(default_factory=dict)
    numbers: dict[object, int] = field(default_factory=dict)

    def flops(self) -> int:
        """Return the operations until now, those of calls that were not run among them."""
        return self.counted() + self.spared

    @contextmanager
    def watching(self, paths: Sequence[tuple[str, nn.Module]]) -> Iterator[None]:
        """Let each layer of the spec be run once for equal calls, for the time of a `with`."""
        self._watch(paths)
        try:
            yield
        finally:
            for module in self.forms:
                module.__dict__.pop("forward", None)

    def _watch(self, paths: Sequence[tuple[str, nn.Module]]) -> None:
        states = {row.name: row.state for row in self.artifact.plan.table.modules if row.state is not None}
        seen: set[nn.Module] = set()
        for path, module in reversed(paths):  # what is inside of a layer comes before it
            if module in seen:
                continue
            seen.add(module)
            form = self.forms[module] = self._form(module, states.get(path))
            if form is not None and path:
                object.__setattr__(module, "forward", _Once(self, path, form, module.forward))

    def _form(self, module: nn.Module, state: object) -> int | None:
        """Return a number that equal layers have in common, None if it is not known what a layer does."""
        if state is None:
            return None
        if _is_of(module, TORCH) and type(module) not in CONTAINERS:
            if not all(_is_of(each, TORCH) for each in module.modules()):
                return None
            inside, tensors = [], module.state_dict(keep_vars=True)
        elif _is_of(module, EMITTED) or type(module) in CONTAINERS:
            inside = [self.forms.get(child) for child in module._modules.values() if child is not None]
            tensors = {**module._parameters, **module._buffers}
        else:
            return None
        own = tuple((name, frozen(tensor)) for name, tensor in tensors.items())
        key = (type(module), id(state), own, tuple(inside))
        return None if None in inside else self.numbers.setdefault(key, len(self.numbers))

    def again(self, path: str, first: str, flops: int, ended: Sequence[Ended]) -> None:
        """Note calls as they were in an equal layer at another path."""
        for each in ended:
            found = Ended(path + each.path.removeprefix(first), each.flops, each.output)
            self.note(found)
            self.ended.append(found)
        self.spared += flops


@dataclass(eq=False)
class _Once:
    """Stands in for the `forward` of a layer."""

    calls: EqualCalls
    path: str
    form: int
    forward: Callable[..., Any]

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        calls = self.calls
        given = frozen(arguments), frozen(keywords)
        key = (self.form, *given)
        if None in given:
            return self.forward(*arguments, **keywords)
        if key in calls.known:
            output, flops, (first, inside) = calls.known[key]
            calls.again(self.path, first, flops, inside)
            return output
        start, before = len(calls.ended), calls.flops()
        output = self.forward(*arguments, **keywords)
        ended = calls.ended[start:]
        if _is_inside(self.path, ended) and not any(CHOSEN.search(str(each.output)) for each in ended):
            calls.known[key] = output, calls.flops() - before, (self.path, ended)
        return output


def _is_of(module: nn.Module, package: str) -> bool:
    return type(module).__module__.startswith(package)


def _is_inside(path: str, ended: Sequence[Ended]) -> bool:
    return all(each.path.startswith(f"{path}.") for each in ended)


def frozen(value: Any) -> Any:
    """Return what two values have in common that a layer does the same with; None if that is not known."""
    if isinstance(value, Tensor):
        with unheard():
            lies = (*value.stride(), value.storage_offset())
        sizes = (*value.shape, *lies)
        return type(value), value.dtype, value.device, value.requires_grad, *map(_size, sizes)
    if isinstance(value, torch.SymInt):
        return _size(value)
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, dict):
        found = frozen(list(value.values()))
        return None if found is None else (*value.keys(), found)
    if isinstance(value, list | tuple):
        parts = tuple(map(frozen, value))
        return None if None in parts else (type(value), *parts)
    return None


def _size(size: Any) -> object:
    return size if type(size) is int else size.node.expr
