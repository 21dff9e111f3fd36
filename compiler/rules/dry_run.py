"""Initialisers run without values: what can be known of them before anything is drawn, or any file read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS, RANDOM_INITIALIZERS, requirement
from compiler.infer.on_meta import only_meta
from compiler.infer.values import freeze
from compiler.rules.checkpoint_call import Surgery
from compiler.rules.initialisation import InitEvaluator, computes_with_checkpoint, value_problem
from spec_schema.diagnostics import refuse
from spec_schema.grammar import Expression

Shape = tuple[int, ...]
Reader = Callable[[Surgery], Shape]


MOST = 4096
"""Tensors whose default initialiser is known to fit, before all are forgotten."""
_fitting: set[Hashable] = set()


class DrySource:
    """Draws nothing: checks what can be known of a draw from the shape alone, on the meta device.

    `read` returns the shape of what a checkpoint gives. Without it that shape is taken to be the tensor's own.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, read: Reader | None = None) -> None:
        self.shape, self.dtype, self.read = shape, dtype, read

    @property
    def guesses(self) -> bool:
        return self.read is None

    def draw(self, name: str, arguments: Mapping[str, Any], branch: Sequence[int]) -> Tensor:
        problem = requirement(name, self.shape, arguments) if name in INITIALIZER_ARGUMENTS else None
        if problem:
            raise ValueError(problem)
        if name in RANDOM_INITIALIZERS and not (self.dtype.is_floating_point or self.dtype.is_complex):
            found = str(self.dtype).removeprefix("torch.")
            raise ValueError(f"{name} draws real numbers, and the tensor is {found}")
        problem = value_problem(arguments["val"], self.dtype) if name == "constant" else None
        if problem:
            raise ValueError(problem)
        return torch.empty(self.shape, device="meta")

    def mix(self, parts: Sequence[tuple[float, Callable[[], Tensor]]], branch: Sequence[int]) -> Tensor:
        for _, part in parts:
            part().expand(self.shape)
        return torch.empty(self.shape, device="meta")

    def checkpoint(self, surgery: Surgery) -> Tensor:
        return torch.empty(self.read(surgery) if self.read else self.shape, dtype=self.dtype, device="meta")

    def transform(self, name: str, tensor: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        return tensor


def check_initialisation(
    expression: Expression,
    names: Mapping[str, object],
    shape: tuple[int, ...],
    dtype: torch.dtype,
    registered: Mapping[str, Callable[..., Any]],
    read: Reader | None = None,
) -> None:
    """Refuse an initialiser that cannot give a tensor of this shape, before anything is drawn.

    `read` returns the shapes of what checkpoints give, once their headers are read. Before that it is not known
    what an expression makes of them.
    """
    with only_meta():
        evaluator = InitEvaluator(expression, names, shape, DrySource(shape, dtype, read), registered)
        value = evaluator.result()
    if isinstance(value, Tensor) and computes_with_checkpoint(expression):
        if read is not None and value.shape != torch.Size(shape):
            raise refuse("checkpoint-shape", f"the value has the shape {list(value.shape)}", expression.place)
    elif isinstance(value, Tensor):
        if not _fits(value.shape, torch.Size(shape)):
            message = f"the value has the shape {list(value.shape)}, which is not the tensor's"
            raise refuse("bad-initializer", message, expression.place)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(
            "bad-initializer",
            "this is neither an initializer nor a number",
            expression.place,
            help="write `normal(std=0.02)`, `zeros` or a number",
        )
    else:
        problem = value_problem(value, dtype)
        if problem:
            raise refuse("bad-initializer", problem, expression.place)


def _fits(found: torch.Size, shape: torch.Size) -> bool:
    """Return whether values of one shape fill a tensor of another one."""
    try:
        return found == shape or torch.empty(found, device="meta").broadcast_to(shape).shape == shape
    except RuntimeError:
        return False


def check_default(
    expression: Expression, names: Mapping[str, object], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """Refuse a default initialiser as any other; one that fitted such a tensor before is not tried again."""
    key = expression, freeze(dict(names)), shape, dtype
    if key in _fitting:
        return
    check_initialisation(expression, names, shape, dtype, {})
    if len(_fitting) >= MOST:
        _fitting.clear()
    _fitting.add(key)
