"""Conditions that hold in all instances, and are written all the same: what they make may be left out elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import Tensor, nn

from compiler.catalogue.layers import layer_names, layer_type
from compiler.emit.runs import Runs
from compiler.infer.states import BlockState
from compiler.infer.values import form_of
from compiler.placement.groups import instances
from compiler.program import Call, Choice, Definition, LayerNode, Splice
from compiler.program import Sequence as SequenceNode
from compiler.resolve.values import free_names

PRESERVING = frozenset({"activation", "batchnorm", "dropout", "instancenorm", "normalization"})
"""The modules of torch.nn whose layers return what has the shape of their input."""
OTHERS = (nn.GLU, nn.MultiheadAttention)
"""Those of them that do not."""


class Optional:
    """Finds them, among the conditions under which a layer is made, and otherwise none.

    A layer that keeps the shape of its input may be missing: no size behind it was inferred from it. So the class is
    that of the block for all values of its arguments, those included that no instance has.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def may_turn(self, node: Choice, cases: Sequence[Mapping[str, object]]) -> bool:
        """Return whether a condition that holds for these values of its names may be false for others."""
        if node.otherwise is not None or not self.runs.variables or not self._preserves(node.then):
            return False
        read = sorted(free_names(node.condition))
        return len({tuple(form_of(values.get(name)) for name in read) for values in cases}) > 1

    def _preserves(self, node: LayerNode | Splice) -> bool:
        """Return whether the output of what a node makes has the shape of its input."""
        match node:
            case Splice() | SequenceNode():
                return all(self._preserves(item.node) for item in node.items)
            case Call(kind="block"):
                return node.scope.blocks[node.target] in self._blocks
            case Call(kind="layer") if node.target in layer_names():
                cls = layer_type(node.target).cls
                return cls.__module__.rpartition(".")[2] in PRESERVING and not issubclass(cls, OTHERS)
        return False

    @cached_property
    def _blocks(self) -> set[Definition]:
        """Return the blocks all of whose instances return the shape of their one input."""
        found: dict[Definition, bool] = {}
        for run in self.runs.all:
            for state in instances(run.inferred.root):
                found[state.definition] = found.get(state.definition, True) and _keeps_shape(state)
        return {definition for definition, keeps in found.items() if keeps}


def _keeps_shape(state: BlockState) -> bool:
    given, output = list(state.inputs.values()), state.output
    one = given[0] if len(given) == 1 else None
    return isinstance(one, Tensor) and isinstance(output, Tensor) and one.shape == output.shape
