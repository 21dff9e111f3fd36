"""The dtype of a layer of the catalogue: one for all that it saves. What it computes keeps the dtype of its formula."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compiler.catalogue.layers import parse_rule
from compiler.infer.dtypes import Dtypes
from compiler.infer.states import Leaf, places, row_length
from compiler.infer.values import tensors_in
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.selectors import Step, path_of

Steps = tuple[Step, ...]


def saved_floats(module: nn.Module, around: Steps = ()) -> Iterator[tuple[Steps, Tensor]]:
    """Yield the floating-point tensors that a layer saves, with their paths inside it."""
    unsaved = module._non_persistent_buffers_set
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None and tensor.is_floating_point() and name not in unsaved:
            yield (*around, Step(name)), tensor
    inner = [(name, part) for name, part in module._modules.items() if part is not None]
    for (name, part), place in zip(inner, places(row_length(module)), strict=False):
        kind = parametrize.type_before_parametrizations(part).__name__
        yield from saved_floats(part, (*around, Step(name, kind, place)))


def convert(module: nn.Module, dtype: torch.dtype) -> bool:
    """Convert what a layer saves, and return whether that changed anything. A shared tensor stays shared."""
    changed = False
    for _, tensor in saved_floats(module):
        if tensor.dtype != dtype:
            tensor.data = tensor.data.to(dtype)
            changed = True
    return changed


def in_two_dtypes(state: Leaf, one: tuple[Steps, Dtypes], other: tuple[Steps, Dtypes]) -> SpecError:
    """Return the refusal of a layer whose tensors rules give two dtypes."""
    parts = " and ".join(
        f"`{path_of(steps)}` in {str(dtypes.dtype).removeprefix('torch.')}" for steps, dtypes in (one, other)
    )
    first, second = one[1].rule, other[1].rule
    rule = max((r for r in (first, second) if r is not None), key=lambda r: r.span.start)
    return refuse(
        "partial-dtype",
        f"this `{state.layer.name}` would have {parts}",
        rule.dtype_span,
        labels=(Label(state.node.span, "the layer"),),
        help="give the whole layer one dtype: name the layer, and not its tensors",
    )


@lru_cache(maxsize=1024)
def _input_names(cls: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(cls.forward).parameters)[1:]


def compared_inputs(state: Leaf, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> list[Tensor]:
    """Return the inputs of a layer that are to have the dtype of its parameters.

    Those are the ones that tell its sizes, of whatever dtype, and all others except whole numbers and masks.
    """
    rules = [parse_rule(argument.deferred) for argument in state.layer.arguments if argument.deferred]
    sized = [inputs[rule.input_index] for rule in rules if rule.input_index < len(inputs)]
    cls: Any = state.layer.cls
    names = _input_names(cls)
    named = {**dict(zip(names, inputs, strict=False)), **keywords}
    others = tensors_in([value for name, value in named.items() if "mask" not in name])
    return [
        *(value for value in sized if isinstance(value, Tensor)),
        *(value for value in others if value.is_floating_point()),
    ]
