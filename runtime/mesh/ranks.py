"""The ranks that a model lies on: as many as its mesh has, and all of one spec."""

from __future__ import annotations

import logging

import torch
from blake3 import blake3
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from compiler.artifact import Artifact
from compiler.mesh.plan import MeshPlan
from runtime.mesh.attendance import RankError, attend, place_of

ADVISING = "torch.distributed.tensor._redistribute"
"""A logger of torch that says of each gathering how torch could do it faster, whoever asked for it."""
ALONE = "_alone"
"""The axis of one rank over which nothing is sharded, where parameters are replicated alone."""


def join(device: torch.device, plan: MeshPlan) -> None:
    """Let this process be the rank that `torchrun` started it as, unless it is one already.

    Raises:
        RankError: it was not started as a rank, a rank does not come, or there are more than the mesh has, or fewer.
    """
    logging.getLogger(ADVISING).setLevel(logging.ERROR)
    if device.type != "cpu":
        torch.accelerator.set_device_index(place_of("LOCAL_RANK"))
    if distributed.is_initialized():
        check_count(plan, distributed.get_world_size())
        return
    attendance = attend()
    check_count(plan, attendance.count)
    attendance.wait_for_all()
    distributed.init_process_group(
        store=attendance.store,
        rank=attendance.rank,
        world_size=attendance.count,
        timeout=attendance.limit,
    )


def check_count(plan: MeshPlan, count: int) -> None:
    """Make sure that as many ranks were started as a mesh has. RankError otherwise."""
    if count != plan.size:
        shown = ", ".join(f"{name}={size}" for name, size in plan.axes.items())
        raise RankError(f"the mesh {shown} has {plan.size} ranks, and {count} were started")


def device_mesh(plan: MeshPlan, device: torch.device) -> DeviceMesh:
    """Return torch's mesh of a plan: the ranks of the axis that layers are split over are next to each other.

    Raises:
        RankError: there are more ranks than the mesh has, or fewer.
    """
    check_count(plan, distributed.get_world_size())
    axes = [axis for axis in (plan.replicate, plan.shard, plan.tensor) if axis is not None]
    sizes = [plan.axes[axis] for axis in axes]
    if plan.replicate is not None and plan.shard is None:
        axes.insert(1, ALONE)
        sizes.insert(1, 1)
    return init_device_mesh(device.type, tuple(sizes), mesh_dim_names=tuple(axes))


def data_mesh(plan: MeshPlan, mesh: DeviceMesh) -> DeviceMesh | None:
    """Return the axis of ranks that have different examples, flat if there are two; None where all have the same."""
    axes = tuple(axis for axis in (plan.replicate, plan.shard) if axis is not None)
    if not axes:
        return None
    return mesh[axes]._flatten() if len(axes) > 1 else mesh[axes[0]]


def check_agreement(artifact: Artifact, plan: MeshPlan, mesh: DeviceMesh, *others: object) -> None:
    """Make sure that all ranks build the same model on the same mesh, with the same `others`, such as a seed.

    Raises:
        RankError: they do not; the error says which ranks differ from the first one.
    """
    text = "|".join(map(str, (artifact.canonical_text, dict(plan.axes), *others)))
    digest = torch.tensor([*blake3(text.encode()).digest()], dtype=torch.uint8, device=mesh.device_type)
    found = [torch.empty_like(digest) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, digest)
    differing = [rank for rank, each in enumerate(found) if not torch.equal(each, found[0])]
    if differing:
        raise RankError(f"ranks {differing} have another spec, mesh or seed than rank 0")


def leave() -> None:
    """Let this process be no rank any more, if it was one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
