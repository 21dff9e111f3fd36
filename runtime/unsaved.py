"""Buffers that no file and no state dict holds, where torch loses their values: they are computed again.

`to_empty` leaves memory without values, and `load_state_dict(assign=True)` leaves on the meta device what is not in
the state dict. A weight is loaded after that, or was; an unsaved buffer never is, and a model would compute on with
whatever the memory held.

Each module that has such buffers is given an `_apply` of its own, through which `to_empty` goes, and each module above
them a hook after loading. A buffer that the user removed, or gave another shape, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from compiler.artifact import Artifact
from compiler.rules.plan import PlanRow
from runtime.initialise import FirstValues
from runtime.method_override import MethodOverride
from runtime.ties import APPLY, above

EMPTYING = "Module.to_empty."
"""How the qualified name starts of the function that `to_empty` gives to `_apply`."""

REPLACED: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
"""By a tensor on the meta device that places of a model still hold, what took its place in others."""

Apply = Callable[..., nn.Module]


def keep_unsaved(model: nn.Module, artifact: Artifact) -> None:
    """Let the unsaved buffers of a model have their values wherever the model has values."""
    seen: set[nn.Module] = set()
    for path, rows in _by_module(artifact).items():
        module = model.get_submodule(path)
        if module in seen:
            continue
        seen.add(module)
        loaded = Unsaved(artifact, rows).after_loading
        module.register_load_state_dict_post_hook(loaded)  # type: ignore[no-untyped-call]
        own = {name: row for name, row in rows.items() if "." not in name}
        if own:
            held = module.__dict__.get(APPLY)
            inner = held.function if isinstance(held, MethodOverride) else apply_plainly
            setattr(module, APPLY, MethodOverride(Refilling(Unsaved(artifact, own), inner), module))


def compute_unsaved(model: nn.Module, artifact: Artifact) -> None:
    """Compute the unsaved buffers of a whole model again."""
    unsaved = Unsaved(artifact, _by_module(artifact).get("", {}))
    unsaved.fill(dict(model.named_buffers(remove_duplicate=False)))


def _by_module(artifact: Artifact) -> dict[str, dict[str, PlanRow]]:
    """Return, by the path of each module that has unsaved buffers inside, their rows by their names there."""
    found: dict[str, dict[str, PlanRow]] = {}
    for row in artifact.plan.rows:
        for name in row.names if not row.persistent else ():
            for path in above(name):
                found.setdefault(path, {})[name.removeprefix(f"{path}.") if path else name] = row
    return found


@dataclass(frozen=True, eq=False)
class Unsaved:
    """The unsaved buffers of one module, by their names there."""

    artifact: Artifact = field(repr=False)
    rows: Mapping[str, PlanRow] = field(repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Unsaved:
        """Nothing of it belongs to one module: copies share it."""
        return self

    def fill(self, buffers: Mapping[str, Tensor]) -> None:
        """Give the values to those of some buffers that are its own and have memory."""
        values = FirstValues(self.artifact)
        with torch.no_grad():
            for name, row in self.rows.items():
                buffer = buffers.get(name)
                if buffer is not None and not buffer.is_meta and tuple(buffer.shape) == row.shape:
                    buffer.copy_(values(row))

    def after_loading(self, module: nn.Module, _: object) -> None:
        """Put where the module is what is still on the meta device after a state dict was assigned to it."""
        buffers = dict(module.named_buffers(remove_duplicate=False))
        left = {name: buffers[name] for name, row in self.rows.items() if _is_left(buffers.get(name), row)}
        device = next((tensor.device for tensor in _tensors(module) if not tensor.is_meta), None)
        if not left or device is None:
            return
        made = {name: _in_place_of(tensor, device) for name, tensor in left.items()}
        for name, tensor in made.items():
            parent, _, attribute = name.rpartition(".")
            module.get_submodule(parent)._buffers[attribute] = tensor
        self.fill(made)


def _is_left(tensor: Tensor | None, row: PlanRow) -> bool:
    """Return whether the buffer of a row is on the meta device."""
    return tensor is not None and tensor.is_meta and tuple(tensor.shape) == row.shape


def _in_place_of(tensor: Tensor, device: torch.device) -> Tensor:
    """Return an empty tensor to stand for one on the meta device: the same one in all places that held that."""
    made: Tensor | None = REPLACED.get(tensor)
    if made is None or made.device != device:
        made = REPLACED[tensor] = torch.empty_like(tensor, device=device)
    return made


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


@dataclass(frozen=True, eq=False)
class Refilling:
    """Stands in for the `_apply` of a module with unsaved buffers, and computes those that come out empty."""

    unsaved: Unsaved
    inner: Apply
    """What stood in for it before, or torch's own."""

    def __call__(
        self, module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True
    ) -> nn.Module:
        before = dict(module._buffers)
        self.inner(module, function, recurse)
        emptied = getattr(function, "__qualname__", "").startswith(EMPTYING)
        found = {
            name: buffer
            for name, buffer in module._buffers.items()
            if buffer is not None and (emptied or _was_meta(before.get(name)))
        }
        if found:
            self.unsaved.fill(found)
        return module


def _was_meta(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.is_meta


def apply_plainly(module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Call torch's own `_apply`."""
    return type(module)._apply(module, function, recurse)  # type: ignore[no-untyped-call, no-any-return]
