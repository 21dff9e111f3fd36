"""Constructors that look at the values of weights, run over weights that have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from compiler.infer.on_meta import only_meta

DRAWS = frozenset({nn.init.constant_, nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_})
"""What gives first values, and asks modes whether they do, with each of its arguments by name."""


class _Answers(TorchFunctionMode):
    """Answers what `orthogonal` asks of a weight: it is not orthogonal, and its factors have these shapes.

    Torch has neither function for the meta device, and `orthogonal` stores tensors of the same shapes for
    each answer. What gives first values is left out if not `drawing`: what torch does where there are none takes longer
    than all else of a constructor, and checks arguments alone.
    """

    def __init__(self, drawing: bool = True) -> None:
        super().__init__()
        self.left_out = frozenset() if drawing else DRAWS

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        first = args[0] if args else None
        if func in self.left_out:
            return (kwargs or {})["tensor"]
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
def constructed_on_meta(drawing: bool = True) -> Iterator[None]:
    """Make every tensor on the meta device, for constructors of models or parametrisations.

    `drawing` has them draw, which changes nothing; it is left out in constructors that were called before.
    """
    with only_meta(), _Answers(drawing):
        yield
