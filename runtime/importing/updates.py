"""Buffers to which a module gives new values as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from runtime.importing.leaves import tensors_of_base
from runtime.importing.positions import refuse_at
from runtime.importing.records import (
    Call,
    Structure,
    Target,
    Value,
    values_in,
)
from runtime.importing.running import Running
from spec_schema.diagnostics import SpecError


class Updates(Running):
    """Writes down what becomes of the buffers of the running module."""

    def check_written(self, tensor: Any) -> None:
        """Refuse to write a parameter, or what another module holds: a program gives its own buffers new values."""
        names = self.skeleton.tensors.get(id(tensor))
        module = self.stack[-1].scope.module
        path = self.skeleton.path_of(tensor, module) if names is not None else None
        if names is None or path in tensors_of_base(module):
            return
        if path is None or "." in path or isinstance(tensor, nn.Parameter):
            raise self.not_updated(names[0])

    def not_updated(self, name: str) -> SpecError:
        return refuse_at(
            self.position,
            "import-updated",
            f"`{name}` is written while the module runs",
            help="return the new value, or make the module a layer of a plugin",
        )

    def update(self, tensor: Any) -> None:
        """Take note that a buffer of the running module was written."""
        module = self.stack[-1].scope.module
        if id(tensor) in self.skeleton.tensors:
            path = self.skeleton.path_of(tensor, module)
            if path is not None and path not in tensors_of_base(module):
                self.put(path, tensor)

    def put(self, name: str, tensor: Tensor) -> None:
        """Let a buffer have a new value from here on."""
        value = Value("call", shape=tuple(tensor.shape))
        call = Call(Target("update", name, effect=True), (self.value_of(tensor),), {}, value, self.position)
        self.stack[-1].scope.calls.append(call)
        self.bind(tensor, value)

    def put_assigned(self) -> None:
        """Take note of buffers that the running module replaced, and put its own back for what runs later."""
        module = self.stack[-1].scope.module
        for name, own in self.buffers[module].items():
            made = module._buffers.get(name)
            if made is own:
                continue
            if made is not None and self.is_cache(module, name, made):
                module._buffers[name] = own
                continue
            if own is None or made is None or made.shape != own.shape or made.dtype != own.dtype:
                raise self.not_updated(name)
            if id(made) in self.stack[-1].known and name not in tensors_of_base(module):
                self.put(name, made)
            module._buffers[name] = own

    def is_cache(self, module: nn.Module, name: str, made: Tensor) -> bool:
        """Return whether a buffer that is not saved holds what the sizes of the inputs alone decide."""
        found = self.stack[-1].known.get(id(made))
        return name in module._non_persistent_buffers_set and found is not None and found[1].fixed

    def with_effect(self, target: Target, given: Structure, kwargs: Mapping[str, Any]) -> Target:
        """Return the target of a call; a normalisation that follows buffers changes them."""
        follows = target.name in ("batch_norm", "instance_norm") and any(
            value.kind == "state" and value.path in self.stack[-1].scope.module._buffers
            for value in values_in(given)
        )
        training = kwargs.get("training", kwargs.get("use_input_stats", self.mode()))
        return replace(target, effect=True) if follows and training else target
