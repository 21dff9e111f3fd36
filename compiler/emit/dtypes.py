"""The dtypes of layers in emitted source: `dtype=torch.bfloat16`, or a conversion where a layer takes none."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from compiler.emit.syntax import call
from compiler.infer.dtypes import FLOAT
from compiler.infer.layer_dtypes import saved_floats
from compiler.infer.states import Leaf

CONVERTED = "converted"
"""The name of the function that converts what a layer saves."""

CONVERTED_SOURCE = '''
def converted(layer: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert what a layer saves; what it computes keeps its own dtype."""
    for tensor in layer.state_dict(keep_vars=True).values():
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return layer
'''


class LayerDtypes:
    """The dtypes of the layers that one node makes."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self.leaves = leaves

    @property
    def is_argument(self) -> bool:
        """Whether the constructor is given the dtype: not where torch's own default is meant anyway."""
        return self.leaves[0].layer.takes_dtype and any(map(_is_other, self.leaves))

    def converted(
        self, made: ast.expr, dtype: Callable[[], ast.expr], converting: Callable[[], str]
    ) -> ast.expr:
        """Return the layer in its dtype, if its constructor takes none; `converting` names a function for that."""
        if not any(leaf.cast for leaf in self.leaves):
            return made
        if all(map(_saves_all, self.leaves)):
            return call(ast.Attribute(made, "to", ast.Load()), dtype())
        return call(converting(), made, dtype())


def _is_other(leaf: Leaf) -> bool:
    """Say whether a layer has floating-point tensors of another dtype than torch's default."""
    return leaf.dtype != FLOAT and leaf.module is not None and any(True for _ in saved_floats(leaf.module))


def _saves_all(leaf: Leaf) -> bool:
    """Say whether `Module.to` converts just what a layer saves: it converts all that is no whole number."""
    saved = {id(tensor) for _, tensor in saved_floats(leaf.module or nn.Identity())}
    return all(id(tensor) in saved for tensor in _inexact(leaf.module or nn.Identity()))


def _inexact(module: nn.Module) -> list[Tensor]:
    tensors = (*module.parameters(), *module.buffers())
    return [tensor for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()]
