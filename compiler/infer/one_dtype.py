"""Operations whose tensors are to be of one dtype: on the meta device torch lets several pass.

Any other operation over several dtypes is judged by torch itself, which promotes them, or refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from compiler.infer.values import show
from spec_schema.diagnostics import refuse
from spec_schema.source import Span

PRODUCTS = frozenset(
    "@ matmul mm bmm mv dot inner linear bilinear addmm addmv addbmm baddbmm conv1d conv2d conv3d einsum "
    "scaled_dot_product_attention conv_transpose1d conv_transpose2d conv_transpose3d vdot tensordot "
    "linalg.multi_dot linalg.vecdot".split()
)
"""What multiplies: whole numbers by no others, either."""
OF_FLOATS = frozenset(
    "addr binary_cross_entropy cdist complex cross cross_entropy embedding_bag grid_sample group_norm heaviside "
    "huber_loss index_add index_copy index_put index_reduce layer_norm linalg.cross linalg.pinv "
    "linear_cross_entropy multi_head_attention_forward multi_margin_loss nll_loss normal pca_lowrank polar put "
    "soft_margin_loss svd_lowrank".split()
)
"""What takes indices beside its values: only the values are compared.

The results of some of these are of other dtypes on the meta device than on others.
"""
PROMOTES = {"cross_entropy": 1}
"""Which argument, where it is no index, lets torch promote the others: probabilities in the place of classes."""
MASKED = {"scaled_dot_product_attention": 3}
"""How many arguments stand in front of one that may be of another dtype."""


def check_dtypes(
    what: str, names: Sequence[str], values: Sequence[Any], place: Span, notes: tuple[str, ...]
) -> None:
    """Refuse tensors of different dtypes in an operation that takes one."""
    if what not in PRODUCTS and what not in OF_FLOATS:
        return
    pairs = list(zip(names, values, strict=False))[: MASKED.get(what)]
    if what in PROMOTES and any(_is_inexact(value) for _, value in pairs[PROMOTES[what] :][:1]):
        return
    tensors = [(name, value) for name, value in pairs if isinstance(value, Tensor) and _counts(what, value)]
    kinds = {_name(value) for _, value in tensors}
    if len(kinds) > 1:
        found = "   ".join(f"{name}: {_name(value)}{show(value)}" for name, value in tensors)
        raise refuse(
            "dtype-mismatch",
            f"`{what}` needs one dtype, and gets {' and '.join(sorted(kinds))}",
            place,
            label=found,
            notes=notes,
            help="convert one of them: `x.to(float32)`",
        )


def _counts(what: str, tensor: Tensor) -> bool:
    """Return whether the dtype of a tensor is one of those that are compared."""
    return _is_inexact(tensor) or (what in PRODUCTS and tensor.dtype != torch.bool)


def _is_inexact(value: object) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


class OneDtypeInside(TorchFunctionMode):
    """Checks what a plugin's layer calls, for the time of a `with`."""

    def __init__(self, layer: str, place: Span, notes: tuple[str, ...]) -> None:
        super().__init__()
        self.layer, self.place, self.notes = layer, place, notes

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or refuse it."""
        given = dict(kwargs or {})
        names = [*(f"argument {at + 1}" for at in range(len(args))), *given]
        notes = (f"inside `{self.layer}`", *self.notes)
        check_dtypes(func.__name__.strip("_"), names, [*args, *given.values()], self.place, notes)
        return func(*args, **given)


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
