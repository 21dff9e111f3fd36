"""A forward on stand-ins for devices: fake tensors, which no operation takes from two devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from compiler.artifact import Artifact
from compiler.infer.values import tensors_in
from compiler.placement.check import input_device
from runtime.classes import root_class

FIRST, SECOND = "cuda:0", "cuda:1"


@dataclass(frozen=True)
class Forward:
    """What came of a forward: where the outputs are, and which values moved from where to where."""

    outputs: tuple[str, ...]
    moves: Mapping[tuple[str, str], int]
    calls: int
    """Of `.to`, also of those that moved nothing."""


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        self.moves: Counter[tuple[str, str]] = Counter()
        self.calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is Tensor.to:
            self.calls += 1
            if args[0].device != result.device:
                self.moves[str(args[0].device), str(result.device)] += 1
        return result


def forward(artifact: Artifact, training: bool = False) -> Forward:
    """Run the emitted model on stand-ins for its devices. `auto` is the first one.

    Raises:
        RuntimeError: an operation got operands on two devices.
    """
    with torch.device("meta"):
        model = root_class(artifact)().train(training)
    watch = _Watch()
    with FakeTensorMode(), torch.no_grad():
        for row in artifact.plan.rows:
            tensor = torch.empty(row.shape, dtype=row.dtype, device=_device(row.device))
            put(model, row.names, nn.Parameter(tensor, False) if row.kind == "parameter" else tensor)
        start = _device(input_device(artifact.plan)) if artifact.plan.rows else FIRST
        inputs = [
            torch.empty(t.shape, dtype=t.dtype, device=start) for t in artifact.inferred.inputs.values()
        ]
        with watch:
            output = model(*inputs)
    return Forward(tuple(str(t.device) for t in tensors_in(output)), dict(watch.moves), watch.calls)


def _device(name: str) -> str:
    return FIRST if name == "auto" else name


def put(model: nn.Module, names: Sequence[str], tensor: Tensor) -> None:
    """Put one tensor in all of its places."""
    for name in names:
        parent, _, title = name.rpartition(".")
        setattr(model.get_submodule(parent), title, tensor)
