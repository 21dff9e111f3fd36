"""Models and their outputs compared bit by bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from runtime.testing.strategies.specs import call, sample_inputs


def outputs(model: nn.Module, artifact: Artifact) -> list[Any]:
    """Return what a model gives in evaluation and, after that, in training."""
    inputs = sample_inputs(artifact)
    with torch.no_grad():
        return [call(model.train(mode), artifact, inputs) for mode in (False, True)]


def state(model: nn.Module) -> dict[str, Tensor]:
    """Return all tensors under all of their names, as they are now."""
    names = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    return {name: tensor.detach().clone() for name, tensor in names.items()}


def sharing(model: nn.Module) -> set[frozenset[str]]:
    """Return which names stand for one parameter."""
    groups: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), set()).add(name)
    return {frozenset(names) for names in groups.values()}


def trainable(model: nn.Module) -> dict[str, bool]:
    """Return which parameters are trained."""
    return {name: p.requires_grad for name, p in model.named_parameters(remove_duplicate=False)}
