"""A step of training on a mesh, rehearsed in one process: ranks that do not exist, and tensors without memory.

The model is built as on a real rank, and runs forward and backward. What a rank holds, keeps for the backward and sends
is counted on the way, and what torch refuses is found without a cluster.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.testing._internal.distributed.fake_pg import FakeStore

from compiler.artifact import Artifact
from compiler.infer.dispatch import DispatchMode
from compiler.mesh.plan import MeshPlan
from runtime.mesh.build import skeleton
from runtime.mesh.columns import Unsure, mixed_columns
from runtime.mesh.ranks import device_mesh
from runtime.samples import in_order
from runtime.sharded import local
from spec_schema.diagnostics import Diagnostic, SpecError, refuse

WITHOUT_VALUES = (
    DynamicOutputShapeException,
    DataDependentOutputException,
    UnsupportedOperatorException,
    GuardOnDataDependentSymNode,
)
"""What torch raises where a tensor without memory cannot say how it goes on: the rest of the step is not rehearsed."""
COLLECTIVES = ("c10d", "_c10d_functional")
"""The namespaces of torch's operations that send."""
KINDS = {"gather": "all-gather", "reduce_scatter": "reduce-scatter", "reduce": "all-reduce"}
"""What is in the name of such an operation, and what it does."""


@dataclass
class Messages:
    """The messages of one kind: how many, and the bytes that a rank has in them."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Rehearsal:
    """What one rank holds and does in a step. Sizes are bytes."""

    parameters: int
    trained: int
    """Those of them that have gradients."""
    buffers: int
    activations: int
    """What is kept for the backward, the values of parameters not among it."""
    messages: Mapping[str, Messages]
    unsure: Unsure | None


def rehearse(artifact: Artifact, plan: MeshPlan) -> Rehearsal:
    """Return what the first rank does in one step over the inputs of the spec, at its example sizes.

    Raises:
        SpecError: what happens between split layers mixes their columns, or the model does not run on the mesh.
        RuntimeError: this process is a rank already.
    """
    with fake_ranks(plan.size), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixed = mixed_columns(artifact, plan)
        if isinstance(mixed, Diagnostic):
            raise SpecError([mixed])
        model = skeleton(artifact, plan, device_mesh(plan, torch.device("cpu")))
        kept, sent = Kept(model, plan), Sent()
        with FakeTensorMode(allow_non_fake_inputs=True):
            model.to_empty(device="cpu")
            try:
                _step(artifact, model, kept, sent)
            except WITHOUT_VALUES:
                mixed = Unsure("", "sizes or choices follow from values, and there are none")
            except Exception as error:  # whatever torch raises for what it cannot do
                message = str(error).split("\n")[0]
                raise refuse(
                    "mesh-failed", "the model does not run on this mesh", plan.span, notes=(message,)
                ) from error
        parameters = dict.fromkeys(model.parameters())
        trained = [local(each) for each in parameters if each.requires_grad]
        return Rehearsal(
            _bytes(local(each) for each in parameters),
            _bytes(trained),
            _bytes(dict.fromkeys(model.buffers())),
            kept.bytes,
            sent.messages,
            mixed,
        )


def _step(artifact: Artifact, model: nn.Module, kept: Kept, sent: Sent) -> None:
    """Run forward and backward."""
    inputs = {name: torch.zeros_like(each, device="cpu") for name, each in artifact.inferred.inputs.items()}
    with sent:
        with kept:
            output = model(*in_order(artifact, inputs))
        tensors = [each for each in _tensors(output) if each.requires_grad]
        if tensors:
            torch.autograd.backward(tensors, [torch.ones_like(each) for each in tensors])


@contextmanager
def fake_ranks(count: int) -> Iterator[None]:
    """Let this process be the first of some ranks of which the others do not exist: what is sent arrives nowhere."""
    if distributed.is_initialized():
        raise RuntimeError("this process is a rank, and rehearses nothing")
    hook = sys.excepthook  # torch puts one around it that names the rank
    distributed.init_process_group("fake", rank=0, world_size=count, store=FakeStore())
    try:
        yield
    finally:
        distributed.destroy_process_group()
        sys.excepthook = hook


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(each.numel() * each.dtype.itemsize for each in tensors)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


@dataclass(eq=False)
class Kept:
    """Counts what autograd keeps for the backward, each piece of memory once."""

    model: nn.Module
    plan: MeshPlan
    bytes: int = 0
    seen: dict[int, Any] = field(default_factory=dict)
    """Memory by its identity. It is held, so that no other memory has this identity later."""

    def __enter__(self) -> None:
        self.hooks = [
            module.register_forward_pre_hook(self._pass_over)
            for module in self.model.modules()
            if module._parameters
        ]
        self.hooks += [
            self.model.get_submodule(path).register_forward_pre_hook(self._keep_inputs)
            for path in self.plan.recompute
        ]
        self.saving = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)
        self.saving.__enter__()

    def __exit__(self, *error: object) -> None:
        self.saving.__exit__(*error)
        for hook in self.hooks:
            hook.remove()

    def _pass_over(self, module: nn.Module, _: object) -> None:
        """Let the values of a module's parameters count for nothing, gathered as they are now."""
        for parameter in module._parameters.values():
            if parameter is not None:
                memory = local(parameter).untyped_storage()
                self.seen[memory._cdata] = memory

    def _keep_inputs(self, _: nn.Module, inputs: Any) -> None:
        for tensor in _tensors(inputs):
            self._keep(tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        memory = local(tensor).untyped_storage()
        if memory._cdata not in self.seen:
            self.seen[memory._cdata] = memory
            self.bytes += memory.nbytes()
        return tensor


class Sent(DispatchMode):
    """Counts the messages of a rank."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, Messages] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if any(issubclass(each, torch.distributed.tensor.DTensor) for each in types):
            return NotImplemented
        space, _, name = func._schema.name.partition("::")
        kind = next((kind for part, kind in KINDS.items() if part in name), None)
        if space in COLLECTIVES and kind is not None:
            found = self.messages.setdefault(kind, Messages())
            found.count += 1
            found.bytes += max(
                (each.numel() * each.dtype.itemsize for each in _tensors(list(args))), default=0
            )
        return func(*args, **(kwargs or {}))
