"""Whether what happens between split layers treats columns one by one: asked of torch, which follows their layout.

Between `colwise` and `rowwise` layers values are tensors on the mesh here, whose layout each operation hands on. One
that would have to send something mixes columns: on ranks that compute alone it would give something else, and nothing
would fail. Layers with fused rows are left whole, since torch has no layout for them: patterns are checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard
from torch.distributed.tensor._utils import ExplicitRedistributionContext
from torch.distributed.tensor.experimental import implicit_replication
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.nn.attention import SDPBackend, sdpa_kernel

from compiler.artifact import Artifact
from compiler.mesh.plan import LayerSplit, MeshPlan
from compiler.other_devices import place
from runtime.build import META, assemble
from runtime.mesh.build import style_of
from runtime.mesh.ranks import device_mesh
from runtime.samples import in_order
from spec_schema.diagnostics import Diagnostic

MIXED = "Implicit redistribution"
"""How torch's message begins where an operation would have to send."""


@dataclass(frozen=True)
class Unsure:
    """A block of which torch cannot say whether it treats columns one by one, and why."""

    path: str
    message: str


def mixed_columns(artifact: Artifact, plan: MeshPlan) -> Diagnostic | Unsure | None:
    """Return the first block that mixes columns of its split layers, or of which torch cannot say, if there is one.

    Process groups have to be there, of ranks that may be fake.
    """
    if plan.tensor is None:
        return None
    mesh = device_mesh(plan, torch.device("cpu"))
    model = assemble(place(artifact, {"/": META}), lambda _: None)
    blocks = _split(model, plan, mesh[plan.tensor])
    with FakeTensorMode(allow_non_fake_inputs=True), Inside(model, blocks) as inside, _watched():
        model.to_empty(device="cpu")
        given = {
            name: torch.zeros_like(each, device="cpu") for name, each in artifact.inferred.inputs.items()
        }
        try:
            model(*in_order(artifact, given))
        except Exception as error:  # whatever torch raises: what it is about is asked below
            if not inside.paths:
                return None  # it is about no layer that is split: the step says so too
            return _found(error, inside.paths[-1], blocks[inside.paths[-1]])
    return None


def _split(model: nn.Module, plan: MeshPlan, mesh: DeviceMesh) -> dict[str, LayerSplit]:
    """Split layers, and return the blocks around them, each with one of its layers."""
    fused = {path.rpartition(".")[0] for path, layer in plan.layers.items() if layer.fused is not None}
    blocks: dict[str, LayerSplit] = {}
    seen: set[nn.Module] = set()
    for path, layer in plan.layers.items():
        around, module = path.rpartition(".")[0], model.get_submodule(path)
        if around in fused or module in seen:
            continue
        seen.add(module)
        blocks.setdefault(around, layer)
        gives_parts = layer.style == "colwise" and not layer.is_gathered
        style = (
            ColwiseParallel(output_layouts=Shard(-1), use_local_output=False)
            if gives_parts
            else style_of(layer)
        )
        parallelize_module(module, mesh, style)
    return blocks


@contextmanager
def _watched() -> Iterator[None]:
    """Let torch refuse what would send something on its own; attention is taken apart, for which it has layouts."""
    with sdpa_kernel(SDPBackend.MATH), implicit_replication(), ExplicitRedistributionContext():
        yield


def _found(error: Exception, path: str, layer: LayerSplit) -> Diagnostic | Unsure:
    message = str(error).split("\n")[0]
    if not message.startswith(MIXED):
        return Unsure(path, message)
    operation = (
        message.removeprefix(f"{MIXED} occurred for ").split("(")[0].removeprefix("aten.").split(".")[0]
    )
    return Diagnostic(
        "split-flow",
        f"`{path or 'the model'}` mixes the columns that a rank has with those of others, by `{operation.lstrip('_')}`",
        layer.reason.place,
        help="leave the layers of the block whole, or take what mixes columns out of it",
    )


@dataclass(eq=False)
class Inside:
    """Knows which of some modules are under way: the innermost is the last."""

    model: nn.Module
    blocks: dict[str, LayerSplit]
    paths: list[str] = field(default_factory=list)
    hooks: list[Any] = field(default_factory=list)

    def __enter__(self) -> Inside:
        for path in self.blocks:
            module = self.model.get_submodule(path)
            self.hooks.append(module.register_forward_pre_hook(lambda *_, p=path: self.paths.append(p)))
            self.hooks.append(module.register_forward_hook(lambda *_: self._leave()))
        return self

    def _leave(self) -> None:
        self.paths.pop()

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()
