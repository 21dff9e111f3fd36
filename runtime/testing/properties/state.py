"""Properties of what a layer holds: that all of it is registered, saved and copied."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compiler.infer.values import tensors_in
from runtime.testing.case import Case, call
from runtime.testing.comparison import difference, form
from runtime.testing.outcome import Failure


def registration(case: Case) -> None:
    """Every tensor and layer that the layer holds is registered, also what only closures know."""
    layer = case.make()
    output = call(layer, case.values())
    known = {id(each) for each in [*layer.parameters(), *layer.buffers()]}
    for module in layer.modules():
        for name, value in vars(module).items():
            if not name.startswith("_") or name not in vars(nn.Module()):
                _check_attribute(module, name, value, known)
    for leaf in _leaves(output):
        if id(leaf) not in known:
            raise Failure(
                f"a parameter of shape {list(leaf.shape)} is used and not registered",
                "it hides in a closure, a list or an attribute: make it an attribute that is an nn.Parameter, "
                "or put layers into an nn.ModuleList",
            )


def _check_attribute(module: nn.Module, name: str, value: Any, known: set[int]) -> None:
    for found in _held(value):
        if isinstance(found, nn.Module):
            raise Failure(
                f"`{name}` of {type(module).__name__} holds a {type(found).__name__} that is not registered",
                "use nn.ModuleList or nn.ModuleDict",
            )
        if id(found) not in known:
            kind = "parameter" if isinstance(found, nn.Parameter) else "tensor"
            raise Failure(
                f"`{name}` of {type(module).__name__} holds a {kind}, {form(found)}, that is not registered",
                "use register_buffer for what is not trained, nn.Parameter for what is",
            )


def _held(value: Any) -> Iterator[Tensor | nn.Module]:
    """Yield the tensors and layers that an attribute holds, in plain containers too."""
    if isinstance(value, Tensor | nn.Module):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _held(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _held(each)


def _leaves(output: Any) -> Iterator[Tensor]:
    """Yield the tensors at which the graph behind an output ends."""
    found = [tensor.grad_fn for tensor in tensors_in(output)]
    seen = set()
    while found:
        node = found.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        found += [each for each, _ in node.next_functions]


def state_dict(case: Case) -> None:
    """Another instance with the state of a layer, however it was used before, gives the same."""
    layer, other = case.make(), case.make(seed=case.seed + 100)
    call(layer.train(), case.values(more=1))
    layer.eval()
    other.load_state_dict(layer.state_dict(), strict=True)
    if list(other.state_dict()) != list(layer.state_dict()):
        raise Failure(f"the keys change: {list(layer.state_dict())} and {list(other.state_dict())}")
    found = difference(call(layer, case.values()), call(other, case.values()), exact=True)
    if found is not None:
        raise Failure(
            f"the layer and one with its state give {found}",
            "something that the output depends on is not in the state dict",
        )


def copies(case: Case) -> None:
    """A deep copy gives the same, and stays as it is when the layer changes."""
    layer = case.make()
    twin = copy.deepcopy(layer)
    before = call(layer, case.values())
    if (found := difference(before, call(twin, case.values()), exact=True)) is not None:
        raise Failure(f"the layer and its copy give {found}")
    with torch.no_grad():
        for tensor in [*layer.parameters(), *layer.buffers()]:
            tensor.zero_()
    if (found := difference(before, call(twin, case.values()), exact=True)) is not None:
        raise Failure(
            f"when the layer changes, its copy gives {found}", "a tensor that is not registered is shared"
        )
