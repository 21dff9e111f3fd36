"""Models on a mesh of ranks, without what they are made with: that is imported when one is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from torch import nn

from compiler.artifact import Artifact
from runtime.devices import resolve_device


def build_on_mesh(
    artifact: Artifact,
    seed: int = 0,
    sizes: Mapping[str, int] = MappingProxyType({}),
    device: str | None = None,
    folder: str | Path | None = None,
    allow_large: bool = False,
) -> nn.Module:
    """Return this rank's part of a model, as the section `mesh` of its spec says; every rank calls this.

    `sizes` are those of axes, instead of the spec's. The values at the start are, bit for bit, those that `build` gives
    the whole model. `device` is that of all ranks, by default the accelerator of each, else the CPU.

    Raises:
        SpecError: the section is refused at these sizes, or a checkpoint that the spec names does not fit.
        ValueError: the spec has no section `mesh`, there are more or fewer ranks, they have different specs, or there
            is no such `device`.
    """
    plan = artifact.mesh_of(sizes)
    if plan is None:
        raise ValueError(f"the spec of {artifact.name} has no section `mesh`")
    from runtime.mesh.build import build

    return build(artifact, plan, seed, resolve_device(device or "auto"), folder, allow_large)
