"""The examples of each rank: a part of every batch, so that the batches are those of one process.

Ranks of the axes that shard or replicate parameters have a share each; those that split layers have the same one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torchmetrics import Metric

from compiler.mesh.plan import MeshPlan
from runtime.training.items import Drawn
from runtime.training.parts import Part

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


@dataclass(frozen=True)
class Shares:
    """How many shares a batch has, and which of them is that of this rank. One process alone has all of it."""

    count: int = 1
    own: int = 0
    group: ProcessGroup | None = None
    """The ranks that together have the whole batch."""
    rank: int = 0
    """The number of this rank among all."""
    on_mesh: bool = False
    synced: bool = False
    """Whether norms take the statistics of all shares together."""

    def size(self, total: int) -> int:
        """Return how many of the items of a batch are this rank's. There may be none in the last batch of an epoch."""
        return total // self.count + (self.own < total % self.count)

    def of(self, drawn: Drawn) -> Drawn:
        """Return this rank's part of a batch. A rank without one gets the first item, which then counts for nothing:
        it takes part in what is sent all the same."""
        total = len(drawn.indices)
        whole, more = divmod(total, self.count)
        begin = self.own * whole + min(self.own, more)
        end = begin + self.size(total)
        part = slice(begin, end) if end > begin else slice(0, 1)
        return replace(drawn, indices=drawn.indices[part], turns=drawn.turns[part])

    @property
    def part(self) -> Part | None:
        """What gives this rank's part of a batch, if it is not all of it."""
        return self.of if self.count > 1 else None

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of a value over all shares."""
        found = value.detach().clone()
        if self.count > 1:
            distributed.all_reduce(found, group=self.group)
        return found

    def any(self, value: Tensor) -> bool:
        """Return whether a condition holds in one of the shares."""
        return bool(self.sum(value.any().to(torch.int32)))

    def measure(self, metric: Metric) -> None:
        """Let a metric be that of all shares together."""
        for each in metric.modules():
            if isinstance(each, Metric):
                each.process_group = self.group
                if self.count == 1:
                    each.distributed_available_fn = None


ALL = Shares()
"""The one share of a process that trains alone."""


def shares_of(plan: MeshPlan, mesh: DeviceMesh) -> Shares:
    """Return the shares of the ranks of a mesh."""
    from runtime.mesh.ranks import data_mesh

    rank, over = distributed.get_rank(), data_mesh(plan, mesh)
    if over is None:
        return Shares(rank=rank, on_mesh=True)
    return Shares(over.size(), over.get_local_rank(), over.get_group(), rank, True, bool(plan.synced))


def rest(model: nn.Module) -> None:
    """Let a rank hold its own part of a model alone again: a forward without a backward leaves the root gathered."""
    fsdp = sys.modules.get("torch.distributed.fsdp")  # without which there is nothing to do
    if fsdp is not None and isinstance(model, fsdp.FSDPModule):
        model.reshard()


class Gathered(torch.autograd.Function):
    """The parts of a tensor that ranks have, one after the other. What is computed from it is computed by all alike,
    so that each rank has the gradient of its own part already."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, shares: Shares, total: int) -> Tensor:
        sizes = [replace(shares, own=own).size(total) for own in range(shares.count)]
        ctx.begin, ctx.size, ctx.own = sum(sizes[: shares.own]), sizes[shares.own], part.shape[0]
        largest = torch.zeros((max(sizes), *part.shape[1:]), dtype=part.dtype, device=part.device)
        largest[: ctx.size] = part[: ctx.size]
        parts = [torch.empty_like(largest) for _ in sizes]
        distributed.all_gather(parts, largest, group=shares.group)
        return torch.cat([each[:size] for each, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        own = gradient[ctx.begin : ctx.begin + ctx.size]
        missing = ctx.own - ctx.size
        return torch.cat([own, own.new_zeros((missing, *own.shape[1:]))]) if missing else own, None, None
