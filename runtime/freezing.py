"""Frozen layers that stay as they are: running statistics are kept however a part of the model is put to training."""

from __future__ import annotations

from torch import nn

from compiler.infer.states import BlockState
from compiler.rules.plan import Plan
from runtime.method_override import MethodOverride

TRAIN = "train"
"""The method that puts a module, and all modules inside, into training or evaluation mode."""


def keep_statistics(model: nn.Module, plan: Plan) -> None:
    """Let frozen modules whose buffers a forward would change stay in evaluation mode.

    The emitted class does so in its own `train`, which a call of a part's `train` does not reach.
    """
    blocks = {row.name for row in plan.table.modules if isinstance(row.state, BlockState)}
    for name in filter(None, plan.frozen_modules):  # that of the model itself has such a method
        module = model.get_submodule(name)
        stays = stay_in_evaluation_alone if name in blocks else stay_in_evaluation
        setattr(module, TRAIN, MethodOverride(stays, module))


def stay_in_evaluation(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stand in for `Module.train` of a frozen layer."""
    return type(module).train(module, False)


def stay_in_evaluation_alone(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stand in for `Module.train` of a frozen block, whose layers follow the mode."""
    made = type(module).train(module, mode)
    made.training = False
    return made
