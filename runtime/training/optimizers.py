"""The optimizers of a training, made from their checked calls, and several of them as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from compiler.training.calls import Making
from compiler.training.groups import ParameterGroup
from compiler.training.section import Training
from runtime.training.schedule import located
from spec_schema.diagnostics import refuse

ALIKE = (torch.optim.Adam, torch.optim.AdamW)
"""Optimizers that give the same bits with `foreach` as without: one call for all parameters instead of one for each."""
DTYPES = (torch.float32, torch.float64)
"""... of numbers of these; those of bfloat16 differ in the last bit."""
LARGEST = 2**18
"""Numbers of all parameters together up to which that is faster on a CPU: with more, they are out of its cache."""
FEWEST = 8
"""Parameters of a group from which on it is."""


class JoinedOptimizer(Optimizer):
    """Several optimizers as one, so that a schedule, clipping and the trainer see one: each goes on with its groups.

    The groups are those of the parts themselves. The state has the parts in a row.
    """

    def __init__(self, parts: list[Optimizer]) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step with each of them; the closure runs once."""
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the states of the parts, which have new groups then."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def parts_of(optimizer: Optimizer) -> list[Optimizer]:
    """Return the optimizers that one is joined from, or it alone."""
    return optimizer.parts if isinstance(optimizer, JoinedOptimizer) else [optimizer]


def make_optimizer(training: Training, model: nn.Module) -> Optimizer:
    """Return the optimizer of the parameters that are trained, and of no others.

    Raises:
        SpecError: a value is out of its range, or the optimizer does not take such parameters or options.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    parts = [_make(training, number, trained) for number in range(len(training.optimizers))]
    return parts[0] if len(parts) == 1 else JoinedOptimizer(parts)


def _make(training: Training, number: int, trained: Mapping[str, Tensor]) -> Optimizer:
    making = training.optimizers[number]
    groups = [group for group in training.groups if group.optimizer == number]
    together = _together(making, trained)
    with located(making):
        parameters = [_group(group, trained, together) for group in groups]
        optimizer: Optimizer = making.target(parameters, **making.arguments)
    for group in groups:
        _check_options(group, optimizer, making.name)
    return optimizer


def _together(making: Making, trained: Mapping[str, Tensor]) -> bool:
    """Return whether the spec leaves `foreach` open, torch would not do it, and it is faster."""
    small = sum(each.numel() for each in trained.values()) <= LARGEST
    plain = all(each.device.type == "cpu" and each.dtype in DTYPES for each in trained.values())
    said = making.arguments.keys() & {"foreach", "fused", "differentiable"}
    return making.target in ALIKE and small and plain and not said


def _group(group: ParameterGroup, trained: Mapping[str, Tensor], together: bool) -> dict[str, Any]:
    chosen = set(group.parameters)
    parameters = [parameter for name, parameter in trained.items() if name in chosen]
    many = {"foreach": True} if together and len(parameters) >= FEWEST else {}
    return {"params": parameters, **many, **group.options}


def _check_options(group: ParameterGroup, optimizer: Optimizer, name: str) -> None:
    """Refuse an option that is one of the whole optimizer: torch would take it and pass it over."""
    for option in group.options:
        if option not in optimizer.defaults:
            place = next(d.place for d in next(iter(group.decisions.values())) if d.section == option)
            raise refuse("bad-argument", f"`{option}` of `{name}` is one for all parameters", place)
