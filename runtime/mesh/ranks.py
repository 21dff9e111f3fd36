"""The ranks that a model lies on: as many as its mesh has, and all of one spec."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from blake3 import blake3
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from compiler.artifact import Artifact
from compiler.mesh.plan import MeshPlan

SECONDS = 600
"""After so long a rank that does not answer is taken for lost."""
ALONE = "_alone"
"""The axis of one rank over which nothing is sharded, where parameters are replicated alone."""


def join(device: torch.device) -> None:
    """Let this process be the rank that `torchrun` started it as, unless it is one already.

    Raises:
        ValueError: it was not started as a rank.
    """
    if device.type != "cpu":
        torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", "0")))
    if distributed.is_initialized():
        return
    if "RANK" not in os.environ:
        raise ValueError(
            "a model on a mesh needs ranks, and this process is none: start it by `torchrun --nproc-per-node N`"
        )
    distributed.init_process_group(timeout=timedelta(seconds=SECONDS))


def device_mesh(plan: MeshPlan, device: torch.device) -> DeviceMesh:
    """Return torch's mesh of a plan: the ranks of the axis that layers are split over are next to each other.

    Raises:
        ValueError: there are more ranks than the mesh has, or fewer.
    """
    count = distributed.get_world_size()
    if count != plan.size:
        shown = ", ".join(f"{name}={size}" for name, size in plan.axes.items())
        raise ValueError(f"the mesh {shown} has {plan.size} ranks, and {count} were started")
    axes = [axis for axis in (plan.replicate, plan.shard, plan.tensor) if axis is not None]
    sizes = [plan.axes[axis] for axis in axes]
    if plan.replicate is not None and plan.shard is None:
        axes.insert(1, ALONE)
        sizes.insert(1, 1)
    return init_device_mesh(device.type, tuple(sizes), mesh_dim_names=tuple(axes))


def check_agreement(artifact: Artifact, plan: MeshPlan, seed: int, mesh: DeviceMesh) -> None:
    """Make sure that all ranks build the same model on the same mesh.

    Raises:
        ValueError: they do not; the error says which ranks differ from the first one.
    """
    text = f"{artifact.canonical_text}|{dict(plan.axes)}|{seed}"
    digest = torch.tensor([*blake3(text.encode()).digest()], dtype=torch.uint8, device=mesh.device_type)
    found = [torch.empty_like(digest) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, digest)
    differing = [rank for rank, each in enumerate(found) if not torch.equal(each, found[0])]
    if differing:
        raise ValueError(f"ranks {differing} have another spec, mesh or seed than rank 0")
