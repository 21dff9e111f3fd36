"""Which layers take statements to make: loops that put several into a list, and conditions with many ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.infer.build import Builder
from compiler.program import Choice, Item, LayerNode, Repeat, Splice
from compiler.program import Sequence as SequenceNode

Cases = Sequence[Mapping[str, object]]
"""The compile-time values at a position, in each instance."""


@dataclass(frozen=True)
class Branches:
    """Answers for the conditions and copies of one model. A condition that always goes one way is none."""

    builder: Builder

    def in_item(self, item: Item, cases: Cases) -> bool:
        """Say whether an item of a list takes statements."""
        if not item.is_spread:
            return self.in_node(item.node, cases)
        if isinstance(item.node, Choice):
            ways = self._ways(item.node, cases)
            return len(ways) > 1 or any(self._in(branch, share) for branch, share in ways)
        assert isinstance(item.node, Repeat)
        return self._in_copies(item.node, cases)

    def in_node(self, node: LayerNode, cases: Cases) -> bool:
        """Say whether a layer takes statements."""
        match node:
            case SequenceNode():
                return any(self.in_item(item, cases) for item in node.items)
            case Repeat():
                return self._in_copies(node, cases)
            case Choice():
                ways = self._ways(node, cases)
                nested = len(ways) > 1 and any(self._is_open(branch, share) for branch, share in ways)
                return nested or any(self._in(branch, share) for branch, share in ways)
        return False

    def _in_copies(self, node: Repeat, cases: Cases) -> bool:
        if isinstance(node.of, Splice):
            return True
        if not _may(node.of):
            return False
        inner = [{**values, **bound} for values in cases for bound in self.builder.bindings(node, values)]
        return self.in_node(node.of, inner)

    def _in(self, branch: LayerNode | Splice | None, cases: Cases) -> bool:
        if isinstance(branch, Splice):
            return any(self.in_item(item, cases) for item in branch.items)
        return branch is not None and self.in_node(branch, cases)

    def _is_open(self, branch: LayerNode | Splice | None, cases: Cases) -> bool:
        """Say whether a branch is a condition that goes both ways."""
        return isinstance(branch, Choice) and len(self._ways(branch, cases)) > 1

    def _ways(self, node: Choice, cases: Cases) -> list[tuple[LayerNode | Splice | None, Cases]]:
        """Return the branches that are taken, each with the instances that take it."""
        taken = [values for values in cases if self.builder.decide(node, values)]
        others = [values for values in cases if not self.builder.decide(node, values)]
        pairs = ((node.then, taken), (node.otherwise, others))
        return [(branch, share) for branch, share in pairs if share]


def _may(node: LayerNode) -> bool:
    """Say whether a node holds a condition or a splice at all."""
    match node:
        case SequenceNode():
            return any(_may(item.node) for item in node.items)
        case Repeat():
            return isinstance(node.of, Splice) or _may(node.of)
        case Choice():
            return True
    return False
