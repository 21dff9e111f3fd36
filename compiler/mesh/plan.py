"""The plan of a mesh: what the ranks are, what each holds of which tensor, and what is gathered together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal

from spec_schema.source import Span

Style = Literal["colwise", "rowwise"]
"""By outputs or by inputs; of a table of an embedding, by features or by rows."""


@dataclass(frozen=True)
class Fused:
    """The rows of a weight as a grid of named parts, of which one is split: `(three h d)` by `h`."""

    before: int
    parts: int
    after: int

    def order(self, ranks: int) -> list[int]:
        """Return, for each row as the ranks hold them one after the other, where it stands in the spec's weight."""
        own = self.parts // ranks
        return [
            (outer * self.parts + rank * own + part) * self.after + inner
            for rank in range(ranks)
            for outer in range(self.before)
            for part in range(own)
            for inner in range(self.after)
        ]


@dataclass(frozen=True)
class Reason:
    """The rule that decided something."""

    text: str
    place: Span = field(compare=False)


@dataclass(frozen=True)
class LayerSplit:
    """How one layer is split. `is_gathered` says whether its output is whole again, `takes_part` whether its input
    is the part that an earlier layer gives."""

    style: Style
    fused: Fused | None
    reason: Reason
    is_gathered: bool = False
    takes_part: bool = False


@dataclass(frozen=True)
class TensorSplit:
    """The dimension that a tensor is split in; None where each rank of the axis holds all of it."""

    dim: int | None
    fused: Fused | None
    reason: Reason


@dataclass(frozen=True, eq=False)
class MeshPlan:
    """How a model lies on a mesh. Modules are named by their paths, tensors by their canonical names."""

    axes: Mapping[str, int]
    shard: str | None
    """The axis over which parameters are sharded, and gathered when they are used."""
    replicate: str | None
    """The axis whose ranks hold the same, and sum their gradients."""
    tensor: str | None
    """The axis over which layers are split."""
    units: Mapping[str, Reason]
    layers: Mapping[str, LayerSplit]
    tensors: Mapping[str, TensorSplit]
    local: Mapping[str, Mapping[str, int]]
    """By the path of a module, the numbers of its program that are those of one rank."""
    recompute: Mapping[str, Reason]
    span: Span
    """The key of the section."""
    places: Mapping[str, Span]
    """Where it is said what an axis is for, by its name."""
    synced: tuple[str, ...] = ()
    """The paths of norms whose statistics are those of the examples of all ranks."""

    @cached_property
    def size(self) -> int:
        """The number of ranks."""
        return prod(self.axes.values())

    def ranks(self, axis: str | None) -> int:
        """Return how many ranks an axis has, 1 where there is no such axis."""
        return 1 if axis is None else self.axes[axis]
