"""Constructors that look at the values of weights, run over weights that have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from compiler.infer.on_meta import only_meta


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


@contextmanager
def constructed_on_meta() -> Iterator[None]:
    """Make every tensor on the meta device, for constructors of models or parametrisations."""
    with only_meta(), answered_on_meta():
        yield
