"""Constructors that look at the values of weights, run over weights that have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from compiler.infer.on_meta import only_meta

DRAWN = frozenset(
    {Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_, init.kaiming_uniform_, init.uniform_}
)
DRAWN |= {init.normal_, init.constant_}
"""What gives a tensor values, and returns it."""


class _Answers(TorchFunctionMode):
    """Answers what `orthogonal` asks of a weight: it is not orthogonal, and its factors have these shapes.

    Torch has neither function for the meta device, and `orthogonal` stores tensors of the same shapes for
    each answer.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.is_meta:
            if func is torch.allclose:
                return False
            if func is torch.geqrf:
                return first.clone(), first.new_empty((*first.shape[:-2], min(first.shape[-2:])))
        return func(*args, **(kwargs or {}))


@contextmanager
def answered_on_meta() -> Iterator[None]:
    """Answer what constructors ask of weights on the meta device."""
    with _Answers():
        yield


class _Undrawn(TorchFunctionMode):
    """Returns a weight as it is where `torch.nn.init` would draw values for it, which it has none of."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in DRAWN:
            tensor = args[0] if args else given.get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **given)


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """Let the first values of weights on the meta device be as they are: a draw takes longer than all else there."""
    with _Undrawn():
        yield


@contextmanager
def constructed_on_meta() -> Iterator[None]:
    """Make every tensor on the meta device, for constructors of models or parametrisations."""
    with only_meta(), answered_on_meta():
        yield
