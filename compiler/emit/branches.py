"""Which layers take statements to make: loops that put several into a list, and conditions with many ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    may_turn: Callable[[Choice, Cases], bool]
    """Returns whether a condition that goes one way in all instances may go the other way at other values."""

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
                return is_named(node) or any(self.in_item(item, cases) for item in node.items)
            case Repeat():
                return is_named(node) or self._in_copies(node, cases)
            case Choice():
                ways = self._ways(node, cases)
                nested = len(ways) > 1 and any(self._is_open(branch, share) for branch, share in ways)
                return nested or any(self._in(branch, share) for branch, share in ways)
        return False

    def _in_copies(self, node: Repeat, cases: Cases) -> bool:
        if isinstance(node.of, Splice) or node.running:
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
        if not others and self.may_turn(node, cases):
            return [(node.then, taken), (None, [])]
        pairs = ((node.then, taken), (node.otherwise, others))
        return [(branch, share) for branch, share in pairs if share]


def _may(node: LayerNode) -> bool:
    """Return whether a node holds a condition, a splice or a name at all."""
    match node:
        case SequenceNode():
            return is_named(node) or any(_may(item.node) for item in node.items)
        case Repeat():
            return is_named(node) or isinstance(node.of, Splice) or bool(node.running) or _may(node.of)
        case Choice():
            return True
    return False


def is_named(node: SequenceNode | Repeat | Splice) -> bool:
    """Return whether a list has layers with names of their own, which are added to it one by one."""
    if isinstance(node, Repeat):
        return node.label is not None or (isinstance(node.of, Splice) and is_named(node.of))
    return any(map(_has_name, node.items))


def _has_name(item: Item) -> bool:
    if item.name is not None or item.label is not None:
        return True
    match item.node:
        case Repeat() if item.is_spread:
            return is_named(item.node)
        case Choice(then=Splice() as then, otherwise=otherwise):
            return is_named(then) or (isinstance(otherwise, Splice) and is_named(otherwise))
    return False
