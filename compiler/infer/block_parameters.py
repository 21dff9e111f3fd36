"""The parameters and buffers that a block holds itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from compiler.infer.chosen import CHOSEN
from compiler.infer.context import Context
from compiler.infer.dtypes import FLOAT
from compiler.infer.interpreter import Interpreter
from compiler.infer.statements import result_of
from compiler.infer.states import BlockState
from compiler.infer.values import show, tensors_in
from compiler.program import ModuleBody, TensorEntry
from spec_schema.bounds import bindings
from spec_schema.budget import Budget
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.grammar import Expression, Program
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.selectors import Step
from spec_schema.source import Span
from spec_schema.tensors import TensorType

LARGEST_EXTENT = 2**48
"""Elements of one tensor."""


@dataclass(eq=False)
class BlockParameters:
    """Shapes the tensors of blocks, at the first call of each."""

    engine: Context
    numbers: set[int] = field(default_factory=set)
    """The buffers, by identity, whose value is a number or a list of numbers, which is made a tensor."""

    def shape(self, state: BlockState, bound: Mapping[str, Any]) -> dict[str, Tensor]:
        body = state.definition.body
        if not isinstance(body, ModuleBody):
            return {}
        if state.tensors:
            self._check_sizes(body, state, bound)
            return dict(state.tensors)
        return {name: self._tensor(entry, state, bound) for name, entry in body.tensors.items()}

    def _check_sizes(self, body: ModuleBody, state: BlockState, bound: Mapping[str, Any]) -> None:
        """Refuse a tensor whose sizes are others where an open dimension has another size."""
        for entry in body.tensors.values() if self.engine.changed else ():
            if entry.type is None:
                continue
            sizes = self.dimensions(entry.type, state, bound)
            made = tuple(state.tensors[entry.name].shape)
            for dimension, before, after in zip(entry.type.dimensions, made, sizes, strict=True):
                if before != after:
                    what = f"dimension `{dimension}` of `{entry.name}`"
                    raise open_size(self.engine, what, (before, after), dimension.place)

    def _tensor(self, entry: TensorEntry, state: BlockState, bound: Mapping[str, Any]) -> Tensor:
        if entry.value is not None:
            value = self.value(entry, state)
            if entry.type is not None:
                value = self._checked(entry, entry.type, value, state, bound)
            return value
        assert entry.type is not None
        sizes = self.dimensions(entry.type, state, bound)
        return torch.empty(sizes, dtype=declared_dtype(entry, entry.type, state))

    def value(self, entry: TensorEntry, state: BlockState) -> Tensor:
        """Compute the `value` of a buffer, on whatever device torch makes tensors.

        It has the dtype that its formula has in any program: no rule rounds what it is computed from.
        """
        source = entry.value
        assert source is not None
        run = self._interpreter(source, state, {})
        run.has_data = False
        with float_dtype(FLOAT):
            value = result_of(source, run)
            if isinstance(value, bool | int | float | list | tuple) and not tensors_in(value):
                self.numbers.add(id(entry))
                value = torch.tensor(value)
        if not isinstance(value, Tensor):
            raise refuse(
                "not-a-tensor",
                f"the value of `{entry.name}` is {show(value)}, not a tensor",
                source.scalar.span,
            )
        return value

    def _interpreter(
        self, source: Expression | Program, state: BlockState, bound: Mapping[str, Any]
    ) -> Interpreter:
        """Return an interpreter that sees the values of a block, and neither its layers nor its tensors."""
        names, limits = {**state.values, **bound}, self.engine.limits
        return Interpreter(self.engine, source, names, {}, {}, limits, Budget(limits.evaluation_steps))

    def _checked(
        self,
        entry: TensorEntry,
        declared: TensorType,
        value: Tensor,
        state: BlockState,
        bound: Mapping[str, Any],
    ) -> Tensor:
        shape = self.dimensions(declared, state, bound)
        if tuple(value.shape) != shape:
            raise refuse(
                "wrong-size",
                f"the value of `{entry.name}` has the shape {show(value)}",
                declared.span,
                label="declared here",
                labels=(Label(entry.value.scalar.span, show(value)),) if entry.value else (),
            )
        return value.to(declared_dtype(entry, declared, state))

    def dimensions(self, tensor: TensorType, state: BlockState, bound: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the sizes of a tensor type."""
        sizes = []
        for dimension in tensor.dimensions:
            run = self._interpreter(dimension, state, bound)
            size = run.value(dimension.tree)
            sizes.append(check_size(size, dimension, {**state.values, **bound}, self.engine.limits))
        return check_extent(tuple(sizes), tensor)


def open_size(
    engine: Context, what: str, sizes: tuple[object, object], place: Span, label: str = ""
) -> SpecError:
    """Return the refusal of a tensor whose size is another one at the sizes of this run."""
    where = ", ".join(f"{name} is {size}" for name, size in engine.changed.items())
    note = f"it is {sizes[1]} where {where}, and {sizes[0]} at another size"
    if CHOSEN in engine.changed:
        note = f"it may be {sizes[0]} or {sizes[1]}"
    return refuse("open-size", what, place, label=label, notes=(note, *engine.trail.notes()))


def check_extent(sizes: tuple[Any, ...], tensor: TensorType) -> tuple[Any, ...]:
    """Return the sizes of a tensor, or refuse one that no computer can address."""
    elements = math.prod(size for size in sizes if isinstance(size, int))
    if elements > LARGEST_EXTENT:
        note = f"the limit is {LARGEST_EXTENT:,}"
        raise refuse("bad-size", f"a tensor of {elements:,} elements", tensor.span, notes=(note,))
    return sizes


def declared_dtype(entry: TensorEntry, declared: TensorType, state: BlockState) -> torch.dtype:
    """Return the dtype of a tensor of a block: the declared one, or where that is `float`, the one that rules give."""
    if declared.dtype == "float":
        return state.dtypes.inside([Step(entry.name)]).dtype
    return dtype_of(declared.dtype)


@contextmanager
def float_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Let `float` mean a dtype, for the time of a `with`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def dtype_of(name: str) -> torch.dtype:
    """Return the dtype of torch that a name of the grammar stands for; `float` is the default one."""
    if name == "float":
        return torch.get_default_dtype()
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found


def check_size(
    size: Any, dimension: Expression, names: Mapping[str, object], limits: Limits = DEFAULT_LIMITS
) -> Any:
    """Return a size, or refuse a value that is not one."""
    if isinstance(size, torch.SymInt):
        return size
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        message = f"`{dimension}` is {show(size)}, and a size is a whole number"
        raise refuse("bad-size", message, dimension.place, notes=bindings(dimension.tree, names))
    if size > limits.dimension:
        note = f"the limit is {limits.dimension:,}"
        raise refuse("bad-size", f"a dimension of {size:,}", dimension.place, notes=(note,))
    return size
