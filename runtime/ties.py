"""Ties that hold where torch itself forgets them: when the tensors of a model are replaced by others.

`nn.Module` replaces tensors in `to_empty`, in conversions of buffers (and of parameters, where torch is told to
overwrite them), and in `load_state_dict(assign=True)`; each place then gets a tensor of its own, and gradients are
no longer summed. A plain load under several names keeps the last values and says nothing of the others.

Each module that holds several names of one tensor is given a hook for loading, and an `_apply` of its own. Both look
at which tensors are one at that moment, and hold nothing: a copy keeps its own ties, and one that the user ends, by
setting another tensor or layer in a place, is ended.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from compiler.rules.plan import Plan
from runtime.method_override import MethodOverride
from runtime.named_tensors import named_tensors
from runtime.sharded import gathered, on_mesh
from spec_schema.shown import shown

APPLY = "_apply"
"""The method of a module through which all conversions go: `to`, `half`, `cuda`, `to_empty`, `share_memory`."""

LOAD = nn.Module.load_state_dict.__code__
"""The code of the method that loads, by which its call is found."""


class TieError(RuntimeError):
    """Names of one tensor stand for different values. As for all that `load_state_dict` refuses, a `RuntimeError`."""


def keep_ties(model: nn.Module, plan: Plan) -> None:
    """Let each module that holds several names of one tensor keep them one."""
    for module in _holders(model, plan):
        module.register_load_state_dict_pre_hook(load_as_one)  # type: ignore[no-untyped-call]
        setattr(module, APPLY, MethodOverride(apply_as_one, module))


def differing_ties(model: nn.Module, plan: Plan) -> list[str]:
    """Return the names that the plan makes one tensor, and that have different values in the model."""
    found = dict(named_tensors(model))
    return [line for row in plan.rows for line in _differences(row.names, found)]


def _holders(model: nn.Module, plan: Plan) -> Iterator[nn.Module]:
    """Yield each module below which two names of one tensor lie."""
    seen: set[nn.Module] = set()
    for row in (each for each in plan.rows if len(each.names) > 1):
        names: dict[str, int] = {}
        for path in chain.from_iterable(above(name) for name in row.names):
            names[path] = names.get(path, 0) + 1
        for path, count in names.items():
            module = model.get_submodule(path)
            if count > 1 and module not in seen:
                seen.add(module)
                yield module


def above(name: str) -> Iterator[str]:
    """Yield the paths of the modules that a tensor lies in."""
    while name:
        name = name.rpartition(".")[0]
        yield name


def _tied(tensors: Iterable[tuple[str, Tensor]]) -> list[list[str]]:
    """Return the names of each tensor that has several."""
    names: dict[int, list[str]] = {}
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    return [group for group in names.values() if len(group) > 1]


# Conversions.


def apply_as_one(module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Stand in for `Module._apply`: a new tensor in one of its places is then in all of them."""
    before = dict(named_tensors(module))
    type(module)._apply(module, function, recurse)  # type: ignore[no-untyped-call]
    after = dict(named_tensors(module))
    for group in _tied(before.items()):
        made = [after[name] for name in group if after[name] is not before[name]]
        for name in group if made else ():
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, made[0])
    return module


# Loading.


def load_as_one(
    module: nn.Module,
    state_dict: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    _strict: bool,
    missing_keys: list[str],
    *_: object,
) -> None:
    """Give all names of one tensor its one value, from whichever of them a state dict holds.

    A load that is not strict still lists those that it does not hold, as for any module with tied tensors:
    `safetensors.torch.load_model` counts on it.

    Raises:
        TieError: it holds different values for them. Nothing of the module is loaded then.
    """
    held = module.state_dict(keep_vars=True)
    given = {name: state_dict[prefix + name] for name in held if prefix + name in state_dict}
    groups = _tied((name, tensor) for name, tensor in held.items() if isinstance(tensor, Tensor))
    problems = [line for group in groups for line in _differences(group, given, prefix)]
    if problems:
        title = f"Error(s) in loading state_dict for {type(module).__name__}:"
        raise TieError("\n\t".join([title, *map(shown, problems)]))
    for group in groups:
        found = [given[name] for name in group if name in given]
        if not found or not all(isinstance(value, Tensor) for value in found):
            continue  # torch says what is missing, and what is no tensor
        value = found[0]
        if local_metadata.get("assign_to_params_buffers") and isinstance(held[group[0]], nn.Parameter):
            value = _as_parameter(value, held[group[0]])
        if not _is_strict():
            missing_keys.extend(prefix + name for name in group if name not in given)
        state_dict.update({prefix + name: value for name in group})


def _is_strict() -> bool:
    """Return whether the load that goes on is strict, which torch does not tell: hooks are always given True."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not LOAD:
        frame = frame.f_back
    return frame is None or bool(frame.f_locals["strict"])


def _as_parameter(value: Tensor, held: nn.Parameter) -> nn.Parameter:
    """Return a value as one parameter to assign: of a tensor, torch would make a parameter for each name."""
    if isinstance(value, nn.Parameter):
        return value
    return nn.Parameter(value, requires_grad=held.requires_grad)


# Comparing.


def _differences(names: Iterable[str], tensors: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield how the values under some names differ from the value under the first name that has one."""
    found = [name for name in names if isinstance(tensors.get(name), Tensor)]
    for name in found[1:]:
        difference = _difference(tensors[found[0]], tensors[name])
        if difference is not None:
            yield f'"{prefix}{found[0]}" and "{prefix}{name}" are one tensor, and {difference}'


def _difference(one: Tensor, other: Tensor) -> str | None:
    """Return how two tensors differ; None if they are equal, or have no values. NaN is equal to NaN."""
    if one.shape != other.shape:
        return f"have the shapes {list(one.shape)} and {list(other.shape)}"
    if one is other or one.is_meta or other.is_meta or _same_memory(one, other):
        return None
    a, b = _exact(gathered(one)), _exact(gathered(other))
    if torch.equal(a, b):
        return None
    differing = (a != b) & ~(a.isnan() & b.isnan())
    count = int(differing.sum())
    if not count:
        return None
    largest = (a[differing] - b[differing]).abs().max().item()
    return f"differ in {count:,} of {one.numel():,} values, by up to {largest:.3g}"


def _same_memory(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are views of the same memory, as those of a state dict are."""
    if on_mesh(one) or on_mesh(other):
        return False
    return (
        one.device == other.device
        and one.dtype == other.dtype
        and one.stride() == other.stride()
        and one.data_ptr() == other.data_ptr()
    )


def _exact(tensor: Tensor) -> Tensor:
    """Return the values on the CPU, in a dtype that holds all of them and can be subtracted."""
    if tensor.is_complex():
        return tensor.detach().to("cpu", torch.complex128)
    return tensor.detach().to("cpu", torch.float64 if tensor.is_floating_point() else torch.int64)
