"""From an artifact to a model on a mesh of ranks, with the values at the start that one process would give it.

The skeleton has no memory until it is known what this rank holds: layers are split, marked for being computed again,
and taken together to units. Only then is memory allocated, and filled with this rank's windows of the first values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)
from torch.utils.checkpoint import checkpoint

from compiler.artifact import Artifact
from compiler.mesh.plan import LayerSplit, MeshPlan
from compiler.other_devices import place
from compiler.rules.plan import PlanRow
from runtime.build import META, assemble
from runtime.classes import ARTIFACT
from runtime.initialise import FirstValues
from runtime.mesh.ranks import ALONE, check_agreement, data_mesh, device_mesh, join
from runtime.mesh.statistics import synchronise
from runtime.method_override import MethodOverride
from runtime.named_tensors import named_tensors
from runtime.sharded import ORDERS, fill, held_windows
from runtime.windows import Window, cut
from runtime.work import check_work

FORWARD = "forward"
"""The method of a module that is computed again in the backward."""


def build(
    artifact: Artifact,
    plan: MeshPlan,
    seed: int,
    device: torch.device,
    folder: str | Path | None = None,
    allow_large: bool = False,
) -> nn.Module:
    """Return this rank's part of a model; see `runtime.build_on_mesh`."""
    join(device, plan)
    mesh = device_mesh(plan, device)
    check_agreement(artifact, plan, mesh, seed)
    return build_part(artifact, plan, mesh, seed, device, folder, allow_large)


def build_part(
    artifact: Artifact,
    plan: MeshPlan,
    mesh: DeviceMesh,
    seed: int,
    device: torch.device,
    folder: str | Path | None = None,
    allow_large: bool = False,
    computed_in: torch.dtype | None = None,
) -> nn.Module:
    """Return this rank's part of a model on a mesh of ranks that agree.

    Parameters are gathered, and computed with, in another dtype than their own if `computed_in` says so.
    """
    model = skeleton(artifact, plan, mesh, computed_in)
    own = None if device.type == "cpu" else torch.accelerator.current_accelerator()
    model.to_empty(device=own or device)
    give_values(model, artifact, seed, folder, allow_large)
    return model


def skeleton(
    artifact: Artifact, plan: MeshPlan, mesh: DeviceMesh, computed_in: torch.dtype | None = None
) -> nn.Module:
    """Return a model without memory that is ready for what each rank holds."""
    model = assemble(place(artifact, {"/": META}), lambda _: None)
    setattr(model, ARTIFACT, artifact)
    setattr(model, ORDERS, orders(artifact, plan))
    split(model, artifact, plan, mesh)
    for path, numbers in plan.local.items():
        module = model.get_submodule(path)
        vars(module).update((name, value) for name, value in numbers.items() if name in vars(module))
    for path in plan.recompute:
        compute_again(model.get_submodule(path))
    data = data_mesh(plan, mesh)
    if data is not None:
        for path in plan.synced:
            synchronise(model.get_submodule(path), data.get_group())
    gather_together(model, plan, mesh, computed_in)
    return model


def orders(artifact: Artifact, plan: MeshPlan) -> dict[str, Tensor]:
    """Return the orders of the rows of fused weights, by canonical name."""
    ranks = plan.ranks(plan.tensor)
    return {
        name: torch.tensor(split.fused.order(ranks), device="cpu")
        for name, split in plan.tensors.items()
        if split.fused is not None
    }


# Layers over ranks.


def split(model: nn.Module, artifact: Artifact, plan: MeshPlan, mesh: DeviceMesh) -> None:
    """Give each layer that is split this rank's part of its tensors; what was one tensor is one again."""
    if plan.tensor is None:
        return
    seen: set[nn.Module] = set()
    for path, layer in plan.layers.items():
        module = model.get_submodule(path)
        if module not in seen:
            seen.add(module)
            parallelize_module(module, mesh[plan.tensor], style_of(layer))
    for row in artifact.plan.rows:
        if len(row.names) > 1 and row.name in plan.tensors:
            _tie(model, row)


def style_of(layer: LayerSplit) -> ParallelStyle:
    """Return torch's style of a layer that is split."""
    if layer.style == "colwise":
        return ColwiseParallel(output_layouts=Replicate() if layer.is_gathered else Shard(-1))
    return RowwiseParallel(input_layouts=Shard(-1) if layer.takes_part else Replicate())


def _tie(model: nn.Module, row: PlanRow) -> None:
    parameter = model.get_parameter(row.name)
    for name in row.names[1:]:
        around, _, attribute = name.rpartition(".")
        model.get_submodule(around)._parameters[attribute] = parameter


# Modules that are computed again.


def compute_again(module: nn.Module) -> None:
    """Let a module keep its inputs alone for the backward, which computes the rest again."""
    setattr(module, FORWARD, MethodOverride(computed_again, module))


def computed_again(module: nn.Module, *arguments: Any, **keywords: Any) -> Any:
    """Stand in for `Module.forward`."""
    call = partial(type(module).forward, module)
    if not torch.is_grad_enabled():
        return call(*arguments, **keywords)
    return checkpoint(call, *arguments, use_reentrant=False, **keywords)


# Units.


def gather_together(
    model: nn.Module, plan: MeshPlan, mesh: DeviceMesh, computed_in: torch.dtype | None = None
) -> None:
    """Shard the parameters of each unit over ranks, inner ones first; the root has what is in none.

    Gradients are added up in float32 if they are computed in less; what goes into a unit stays as it is.
    """
    policy = MixedPrecisionPolicy(
        computed_in, None if computed_in is None else torch.float32, cast_forward_inputs=False
    )
    names = tuple(axis for axis in (plan.replicate, plan.shard or ALONE) if axis is not None)
    if plan.replicate is None and plan.shard is None:
        return
    over = mesh[names] if len(names) > 1 else mesh[names[0]]
    done: set[nn.Module] = set()
    for path in reversed([path for path in plan.units if path]):
        parts = [part for part in running(model.get_submodule(path)) if part not in done]
        if parts:
            done.update(parts)
            fully_shard(parts, mesh=over, mp_policy=policy)
    fully_shard(model, mesh=over, mp_policy=policy)


def running(module: nn.Module) -> Iterator[nn.Module]:
    """Yield what runs of a module: itself, or the layers of a container that has no `forward`."""
    if type(module).forward is not nn.Module.forward:
        yield module
        return
    for child in module.children():
        yield from running(child)


# Values.


def give_values(
    model: nn.Module,
    artifact: Artifact,
    seed: int,
    folder: str | Path | None = None,
    allow_large: bool = False,
) -> None:
    """Fill what this rank holds with its windows of the first values."""
    state, order = dict(named_tensors(model)), getattr(model, ORDERS)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        first_values = FirstValues(artifact, seed, folder, pool)
        check_work(artifact, artifact.plan.rows, allow_large, first_values.checkpoints)
        for row in artifact.plan.rows:
            tensor = state[row.name]
            windows = held_windows(tensor, order.get(row.name))
            fill(tensor, windows, _values(first_values, row))


def _values(first_values: FirstValues, row: PlanRow) -> Callable[[Window], Tensor]:
    """Return what gives the values in a window: drawn there alone, or cut out of the whole, which is drawn once."""
    if first_values.draws_alone(row):
        return partial(first_values, row)
    whole = first_values(row)
    return lambda window: cut(whole, window)
