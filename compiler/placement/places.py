"""The devices of a model's tensors, as a tree of the same form as its modules."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from compiler.infer.placed import Owned
from compiler.rules.plan import Decision, Plan
from spec_schema.source import Span


class Spot(NamedTuple):
    """Where one tensor is."""

    device: str
    owned: Owned


@dataclass(eq=False)
class Places:
    """Where the tensors of a module are: its own, and those of the modules in it."""

    tensors: dict[str, Spot] = field(default_factory=dict)
    parts: dict[str, Places] = field(default_factory=dict)

    @cached_property
    def key(self) -> Hashable:
        """Equal for modules whose tensors are on the same devices."""
        own = tuple((name, spot.device) for name, spot in self.tensors.items())
        return own, tuple((name, part.key) for name, part in self.parts.items())

    @cached_property
    def devices(self) -> frozenset[str]:
        inside = frozenset(spot.device for spot in self.tensors.values())
        return inside.union(*(part.devices for part in self.parts.values()))

    @property
    def home(self) -> str | None:
        """The device of all tensors, None where there are none or where they are on several."""
        return next(iter(self.devices)) if len(self.devices) == 1 else None

    def walk(self) -> Iterator[tuple[tuple[str, ...], Spot]]:
        """Yield the path and the spot of each tensor."""
        for name, spot in self.tensors.items():
            yield (name,), spot
        for name, part in self.parts.items():
            for path, spot in part.walk():
                yield (name, *path), spot

    def part(self, name: str) -> Places:
        return self.parts.get(name) or NOWHERE

    def without(self, names: Collection[str]) -> Places:
        """Return the places of all tensors and modules but those of these names."""
        tensors = {name: spot for name, spot in self.tensors.items() if name not in names}
        return Places(tensors, {name: part for name, part in self.parts.items() if name not in names})


NOWHERE = Places()


def places(plan: Plan) -> Places:
    """Return the tree of a model."""
    root = Places()
    for row in plan.table.tensors:
        at = root
        for name, *_ in row.steps[:-1]:
            at = at.parts.setdefault(name, Places())
        planned = plan.by_name[row.name]
        at.tensors[row.steps[-1][0]] = Spot(
            planned.device, Owned(row.name, placement_rule(planned.decisions))
        )
    return root


def placement_rule(decisions: Iterable[Decision]) -> Span | None:
    """Return the place of the rule that placed a tensor."""
    return next((d.place for d in decisions if d.section == "placement" and d.won), None)
