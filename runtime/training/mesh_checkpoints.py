"""Checkpoints of a training on several ranks: the same as of one process, so that either goes on from the other's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runtime.files.sealed import stored_order, write_sealed
from runtime.named_tensors import named_tensors
from runtime.sharded import copy_whole, gathered, local, on_mesh, orders_of, replicated, written_once
from runtime.training.checkpoints import KIND, packed
from runtime.training.optimizers import parts_of


def save_together(checkpoint: dict[str, Any], path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Write one checkpoint of all ranks: its tensors are gathered one by one, and the first rank writes."""
    tensors, about = packed(checkpoint)
    orders = _orders(model, optimizer)

    def gather(name: str) -> Tensor:
        return gathered(tensors[name], orders.get(_memory(tensors[name])))

    written_once(
        stored_order(tensors), gather, lambda values: write_sealed(path, KIND, about, tensors, values)
    )


def _memory(tensor: Tensor) -> int:
    found: int = local(tensor).untyped_storage()._cdata
    return found


def _orders(model: nn.Module, optimizer: Optimizer) -> dict[int, Tensor]:
    """Return the orders of the rows of fused weights, and of what an optimizer remembers of them, by their memory."""
    orders, found = orders_of(model), dict[int, Tensor]()
    for name, parameter in model.named_parameters():
        order = orders.get(name)
        if order is None:
            continue
        found[_memory(parameter)] = order
        for part in parts_of(optimizer):
            values = part.state.get(parameter, {}).values()
            found |= {_memory(each): order for each in values if _is_like(each, parameter)}
    return found


def _is_like(value: Any, parameter: Tensor) -> bool:
    """Return whether an optimizer remembers a value for each number of a parameter."""
    return isinstance(value, Tensor) and value.shape == parameter.shape


# From a checkpoint to what a rank holds.


def give_state(model: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
    """Give a model this rank's parts of the tensors of a checkpoint."""
    orders, own = orders_of(model), dict(named_tensors(model))
    given = {name.removeprefix(prefix): value for name, value in state.items()}
    for name, value in given.items():
        copy_whole(own[name], value, orders.get(name))


def give_optimizer_state(model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Give an optimizer this rank's parts of what one remembered of whole parameters."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    orders = orders_of(model)
    states = state.get("parts", [state])
    for part, whole in zip(parts_of(optimizer), states, strict=True):
        parameters = [each for group in part.param_groups for each in group["params"]]
        numbers = [number for group in whole["param_groups"] for number in group["params"]]
        held = dict(whole["state"])
        for number, parameter in zip(numbers, parameters, strict=True):
            order = orders.get(names[parameter])
            held[number] = {key: _held(each, parameter, order) for key, each in held.get(number, {}).items()}
        part.load_state_dict({**whole, "state": {key: each for key, each in held.items() if each}})
    if len(states) > 1:
        optimizer.param_groups = [group for part in parts_of(optimizer) for group in part.param_groups]


def _held(value: Any, parameter: Tensor, order: Tensor | None) -> Any:
    """Return what this rank holds of what is remembered of a parameter."""
    if not (isinstance(value, Tensor) and on_mesh(parameter) and value.ndim):
        return value
    if _is_like(value, parameter):
        own = torch.zeros_like(parameter, dtype=value.dtype).detach()
        copy_whole(own, value, order)
        return own
    return replicated(value, parameter)
