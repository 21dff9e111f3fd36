"""The names that an initialiser sees: the values of the spec, and those of the layer that holds the tensor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from compiler.infer.states import Leaf
from compiler.resolve.values import free_names
from compiler.rules.table import TensorRow
from spec_schema.grammar import Expression


def scope_names(row: TensorRow, value: Expression, values: Mapping[str, object]) -> dict[str, object]:
    """Return the names that an initialiser of this tensor may use: the spec's values, and the layer's own."""
    wanted = free_names(value)
    names = {name: values[name] for name in wanted if name in values}
    for name in wanted - set(names):
        own = layer_value(row, name)
        if own is not None:
            names[name] = own[0]
    return names


def layer_value(row: TensorRow, name: str) -> tuple[object] | None:
    """Return, in a tuple, a value of the layer that holds a tensor: an argument, a fan or the shape."""
    if name == "shape":
        return (list(row.tensor.shape),)
    if name in ("fan_in", "fan_out"):
        return _fan(row, name)
    if isinstance(row.owner, Leaf) and row.module is row.owner.module:
        arguments = {**row.owner.values, **row.owner.inferred}
        if name in arguments:
            return (arguments[name],)
        declared = row.owner.layer.argument(name)
        if declared is not None:
            return (declared.default,)
    value = getattr(row.module, name, row) if row.module is not None else row
    plain = value is None or isinstance(value, bool | int | float | str)
    return (value,) if plain else None


def _fan(row: TensorRow, name: str) -> tuple[int] | None:
    """Return the fan of the layer's weight, or of the tensor itself if the layer has no weight."""
    weight = getattr(row.module, "weight", None)
    tensor = weight if isinstance(weight, torch.Tensor) else row.tensor
    if tensor.ndim < 2:
        return None
    fans = nn.init._calculate_fan_in_and_fan_out(tensor)
    return (fans[0 if name == "fan_in" else 1],)
