"""Writes through a view: `x[:, :2].copy_(y)` makes a new `x`, as `x[:, :2] = y` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from runtime.importing.item_writes import UnsaidWriteError, with_item
from runtime.importing.records import Value
from runtime.importing.structures import memory_of
from runtime.importing.updates import Updates
from spec_schema.diagnostics import SpecError

UNKNOWN = -1
"""How often the memory of a tensor was written of which nobody can say what it holds."""


@dataclass(frozen=True)
class Written:
    """A tensor of which a part is written, and what it was before."""

    part: Tensor
    whole: Tensor
    index: Any
    value: Value


class Views(Updates):
    """Knows which tensors are parts of others."""

    def look_through(self, whole: Any, index: Any, part: Any) -> None:
        """Take note that a tensor is an item of another one, in the same memory."""
        both = isinstance(whole, Tensor) and isinstance(part, Tensor)
        if both and memory_of(whole) == memory_of(part):
            self.stack[-1].views[id(part)] = (whole, index, part)

    def wholes_of(self, tensor: Any) -> list[Written]:
        """Return the tensors that a tensor is a part of, the nearest first, as far as their values are known."""
        found: list[Written] = []
        views = self.stack[-1].views
        while id(tensor) in views:
            whole, index, part = views[id(tensor)]
            try:
                found.append(Written(part, whole, index, self.value_of(whole)))
            except SpecError:
                break
            tensor = whole
        return found

    def holds(self, tensor: Tensor, index: Any, value: Any) -> bool:
        """Return whether a value is the item of a tensor that it is written to, as after `x[0] += 1`."""
        whole, at, _ = self.stack[-1].views.get(id(value), (None, None, None))
        return whole is tensor and at == index

    def write_through(self, wholes: list[Written]) -> None:
        """Let tensors of which a part was written have it in them; one for which no operation says so, has none."""
        for each in wholes:
            self.bind(each.whole, each.value)
            try:
                with self:
                    made = with_item(each.whole, each.index, each.part)
            except UnsaidWriteError:
                self.stack[-1].known[id(each.whole)] = (each.whole, each.value, UNKNOWN)
                return
            with self.pause():
                self.bind(each.whole, self.value_of(made))
                self.update(each.whole)
