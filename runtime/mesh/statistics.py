"""Batch normalisation over the examples of all ranks: torch's `SyncBatchNorm` does it on accelerators alone.

Mean and variance follow from sums that ranks add up, twice for each layer, and gradients go back the same way.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from runtime.method_override import MethodOverride


class Sum(torch.autograd.Function):
    """The sum of a tensor over ranks. Each has a part of the loss, and so of the gradient of the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        found = value.detach().clone()
        distributed.all_reduce(found, group=group)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        found = gradient.clone()
        distributed.all_reduce(found, group=ctx.group)
        return found, None


def synchronise(module: nn.Module, group: ProcessGroup) -> None:
    """Let a batch normalisation take the statistics of the examples of all ranks."""
    module.forward = MethodOverride(partial(synchronised, group=group), module)


def synchronised(module: nn.Module, x: Tensor, *, group: ProcessGroup) -> Tensor:
    """Stand in for `forward` of a batch normalisation."""
    assert isinstance(module, nn.modules.batchnorm._BatchNorm)
    if not module.training and module.running_mean is not None:
        found: Tensor = type(module).forward(module, x)
        return found
    module._check_input_dim(x)  # type: ignore[no-untyped-call]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, variance, count = statistics_over(wide, group)
    if module.training and module.track_running_stats:
        _follow(module, mean.detach(), variance.detach() * (count / (count - 1).clamp(min=1)))
    shape = [1, -1, *[1] * (x.ndim - 2)]
    scaled = (wide - mean.view(shape)) * (variance + module.eps).rsqrt().view(shape)
    if module.weight is not None:
        scaled = scaled * module.weight.view(shape) + module.bias.view(shape)
    return scaled.to(x.dtype)


def statistics_over(x: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance of each channel over all ranks, and how many numbers they are of."""
    over = [dim for dim in range(x.ndim) if dim != 1]
    own = x.new_tensor([x.numel() // x.shape[1]])
    sums = Sum.apply(torch.cat([x.sum(over), own]), group)  # type: ignore[no-untyped-call]
    count = sums[-1].detach()
    mean = sums[:-1] / count
    shape = [1, -1, *[1] * (x.ndim - 2)]
    squares = Sum.apply((x - mean.view(shape)).square().sum(over), group)  # type: ignore[no-untyped-call]
    return mean, squares / count, count


def _follow(module: nn.modules.batchnorm._BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Bring the running statistics on by those of a batch, as torch does."""
    assert module.running_mean is not None
    assert module.running_var is not None
    factor = module.momentum
    if module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        factor = 1 / float(module.num_batches_tracked) if factor is None else factor
    with torch.no_grad():
        module.running_mean.lerp_(mean.to(module.running_mean.dtype), factor or 0.0)
        module.running_var.lerp_(variance.to(module.running_var.dtype), factor or 0.0)
