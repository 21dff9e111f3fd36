"""What a loss would do silently, or say in torch's words alone: found when it is tried on a first batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from compiler.training.objective import OUTPUT, Objective
from spec_schema.diagnostics import Diagnostic, SpecError, refuse

LOSSES = frozenset(
    {F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.gaussian_nll_loss, F.poisson_nll_loss}
)
"""Losses that torch broadcasts, of two tensors element by element."""
ARITHMETIC = frozenset(
    {torch.sub, torch.mul, Tensor.sub, Tensor.__sub__, Tensor.mul, Tensor.__mul__, Tensor.__rsub__}
)
"""What a loss is written with by hand. Other values than output and target may be meant to be broadcast."""


class ColumnAgainstRow(TorchFunctionMode):
    """Refuses a column of the output against a row of targets, which torch makes a square of."""

    def __init__(self, loss: Objective, values: Mapping[str, object]) -> None:
        super().__init__()
        self.loss = loss
        self.names = {id(value): name for name, value in values.items()}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in LOSSES or (func in ARITHMETIC and self._is_compared(args[:2])):
            self._check([each for each in args[:2] if isinstance(each, Tensor)])
        return func(*args, **(kwargs or {}))

    def _is_compared(self, pair: Iterable[Any]) -> bool:
        names = {self.names.get(id(each)) for each in pair}
        return OUTPUT in names and len(names) == 2 and None not in names

    def _check(self, pair: list[Tensor]) -> None:
        if len(pair) < 2 or pair[0].ndim == pair[1].ndim:
            return
        row, column = sorted(pair, key=lambda each: each.ndim)
        if column.shape != (*row.shape, 1) or not row.ndim or row.shape[-1] < 2:
            return
        told = [f"`{self.names.get(id(each), 'a value')}` is {list(each.shape)}" for each in pair]
        name = self.names.get(id(column), OUTPUT)
        raise refuse(
            "shape-mismatch",
            f"a column is compared with a row: {' and '.join(told)}",
            self.loss.place,
            notes=(f"torch would compare each with each, {[*row.shape, row.shape[-1]]}",),
            help=f"write `{name}.squeeze(-1)`",
        )


@contextmanager
def with_remedies(loss: Objective, values: Mapping[str, object]) -> Any:
    """Add to what torch says of labels the way out."""
    try:
        with ColumnAgainstRow(loss, values):
            yield
    except SpecError as error:
        raise SpecError([_with_remedy(each, loss, values) for each in error.diagnostics]) from None


def _with_remedy(problem: Diagnostic, loss: Objective, values: Mapping[str, object]) -> Diagnostic:
    labels = [name for name in loss.fields if _is_narrow(values.get(name))]
    if problem.help is not None or "Long" not in problem.message or not labels:
        return problem
    return replace(problem, help=f"convert the labels: `{labels[-1]}.to(int64)`")


def _is_narrow(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.int8, torch.int16, torch.int32)
