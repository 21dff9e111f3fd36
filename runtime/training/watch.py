"""The norms of watched tensors, for the log."""

from __future__ import annotations

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from runtime.named_tensors import named_tensors
from runtime.sharded import on_mesh
from runtime.training.clipping import total_norm
from runtime.training.learner import Learner


class Watch(Callback):
    """Notes the norms of watched tensors, and of the gradients that a step is made from, before clipping."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        tensors = dict(named_tensors(model))
        self.tensors = {name: tensors[name] for name in names}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        assert isinstance(pl_module, Learner)
        if not trainer.loggers and not pl_module.task.shares.on_mesh:
            return  # where tensors lie on ranks, all of them find the norm
        for name, tensor in self.tensors.items():
            pl_module.noted[f"norm/{name}"] = _norm(tensor.detach())
            if tensor.grad is not None:
                pl_module.noted[f"grad_norm/{name}"] = _norm(tensor.grad)


def _norm(tensor: Tensor) -> Tensor:
    numbers = tensor if tensor.is_floating_point() or tensor.is_complex() else tensor.float()
    if on_mesh(numbers):
        return total_norm([numbers])
    norm: Tensor = torch.linalg.vector_norm(numbers)
    return norm
