"""First values: each a function of the seed, the canonical name and the position in the tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.infer.own_tensors import float_dtype
from compiler.infer.states import BlockState, Leaf
from compiler.initialisation import InitEvaluator
from compiler.plan import PlanRow
from runtime.initializers import INITIALIZERS, TRANSFORMATIONS, mixture
from runtime.random import Draws
from spec_schema.diagnostics import refuse


@dataclass(frozen=True)
class RuntimeSource:
    """Draws the values of one tensor."""

    row: PlanRow
    draws: Draws
    registered: Mapping[str, Callable[..., Any]]
    folder: Path

    def draw(self, name: str, arguments: Mapping[str, Any], branch: Sequence[int]) -> Tensor:
        draws = self.draws
        for number in branch:
            draws = draws.branch(number)
        if name in self.registered:
            positional = [value for key, value in arguments.items() if key.isdigit()]
            named = {key: value for key, value in arguments.items() if not key.isdigit()}
            made = self.registered[name](self.row.shape, *positional, generator=draws.generator(), **named)
            assert isinstance(made, Tensor)
            return made.to(self.row.dtype)
        return INITIALIZERS[name](self.row.shape, self.row.dtype, draws, **arguments)

    def mix(self, parts: Sequence[tuple[float, Callable[[], Tensor]]], branch: Sequence[int]) -> Tensor:
        draws = self.draws
        for number in branch:
            draws = draws.branch(number)
        made = [(weight, _ignoring(part)) for weight, part in parts]
        return mixture(self.row.shape, self.row.dtype, draws, made)

    def checkpoint(self, path: str, prefix: str) -> Tensor:
        from runtime.checkpoint import read_tensor

        assert self.row.initialisation is not None
        return read_tensor(
            self.folder / path, prefix + self.row.name, self.row, self.row.initialisation.expression
        )

    def transform(self, name: str, tensor: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        return TRANSFORMATIONS[name](tensor, **arguments)


def _ignoring(part: Callable[[], Tensor]) -> Callable[[Draws], Tensor]:
    """Adapt a part whose draws are told apart by the expression that it stands in."""
    return lambda _: part()


def first_values(artifact: Artifact, row: PlanRow, seed: int, pool: Executor | None, folder: Path) -> Tensor:
    """Return the first values of a row, on the CPU.

    Raises:
        SpecError: a checkpoint has no such tensor, or one of another shape.
    """
    if row.source.entry is not None and row.source.entry.value is not None:
        return _computed(artifact, row)
    if row.initialisation is None:
        return _own_values(row, seed)
    registered = artifact.program.scope.plugins.initializers
    source = RuntimeSource(row, Draws(seed, row.name, pool=pool), registered, folder)
    initialisation = row.initialisation
    evaluator = InitEvaluator(initialisation.expression, initialisation.names, row.shape, source, registered)
    value = evaluator.result()
    if not isinstance(value, Tensor):
        return torch.full(row.shape, value, dtype=row.dtype)
    if value.shape == torch.Size(row.shape):
        return value.to(row.dtype)
    return value.to(row.dtype).broadcast_to(row.shape).clone()


def _computed(artifact: Artifact, row: PlanRow) -> Tensor:
    """Compute the `value` of a buffer on the CPU, in single precision or, if that is the model's, in double."""
    state, entry = row.source.owner, row.source.entry
    assert isinstance(state, BlockState)
    assert entry is not None
    engine = artifact.inferred.engine
    with torch.device("cpu"), torch.no_grad(), float_dtype(torch.promote_types(engine.dtype, torch.float32)):
        value = engine.own_tensors.value(entry, state)
    if tuple(value.shape) != row.shape:
        raise refuse(
            "wrong-size",
            f"the value of `{row.name}` has the shape {list(value.shape)}",
            entry.span,
            notes=(f"inferred: {list(row.shape)}",),
        )
    return value.to(row.dtype).clone()


def _own_values(row: PlanRow, seed: int) -> Tensor:
    """Return what a layer without rules gives itself, under a generator seeded by the name of the layer."""
    leaf = row.source.owner
    assert isinstance(leaf, Leaf)
    path = row.source.name.rsplit(".", len(row.source.torch_steps) - 1)[0]
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.set_rng_state(Draws(seed, path).generator().get_state())
        module = leaf.layer.cls(**{**leaf.values, **leaf.inferred})
    inner = ".".join(step[0] for step in row.source.torch_steps[1:])
    tensors: dict[str, Tensor | nn.Parameter] = {
        **dict(module.named_parameters()),
        **dict(module.named_buffers()),
    }
    return tensors[inner].detach().to(row.dtype)
