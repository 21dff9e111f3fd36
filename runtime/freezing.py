"""Frozen layers that stay as they are: running statistics are kept however a part of the model is put to training."""

from __future__ import annotations

from torch import nn

from compiler.rules.plan import Plan
from runtime.method_override import MethodOverride

TRAIN = "train"
"""The method that puts a module, and all modules inside, into training or evaluation mode."""


def keep_statistics(model: nn.Module, plan: Plan) -> None:
    """Let frozen layers with running statistics stay in evaluation mode.

    The emitted class does so in its own `train`, which a call of a part's `train` does not reach.
    """
    for name in plan.frozen_modules:
        module = model.get_submodule(name)
        setattr(module, TRAIN, MethodOverride(stay_in_evaluation, module))


def stay_in_evaluation(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stand in for `Module.train` of a frozen layer. What a block has beside the layer goes on as it is told."""
    type(module).train(module, mode)
    module.training = False
    return module
