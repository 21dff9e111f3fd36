"""Nothing but meta tensors: no tensor that is made while a spec is looked at has values, or takes memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from compiler.infer.block_parameters import float_dtype
from compiler.infer.grouped import GROUPED, in_bfloat16
from compiler.infer.recurrent import RECURRENT, in_one_step
from compiler.infer.remembered import call_remembered
from compiler.infer.values import tensors_in

DRAWS = frozenset(
    {
        *(nn.init.constant_, nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_),
        *(Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_),
    }
)
"""What gives a tensor values, and returns it; those of `torch.nn.init` name their arguments where they ask modes."""
_undrawn: ContextVar[bool] = ContextVar("_undrawn", default=False)


class _WithoutValues(TorchFunctionMode):
    """Has on the meta device what torch makes of numbers alone, where it forgets its own default device.

    `normal(0.0, 1.0, [n])` and `add(1.0, 2.0)` are on the CPU, and so would be all that comes of them. What a
    plugin asks for on another device stays there: it looks into it. Recurrent layers take one step, unless all
    are to be counted.
    """

    def __init__(self, all_steps: bool) -> None:
        super().__init__()
        self.all_steps = all_steps

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.normal and _of_numbers(args, given):
            given["device"] = "meta"
        if func in DRAWS and _undrawn.get():
            tensor = args[0] if args else given["tensor"]
            if tensor.is_meta:
                return tensor
        if func in RECURRENT and not self.all_steps:
            return in_one_step(func, args)
        if func in GROUPED:
            return in_bfloat16(func, args, given)
        result = func(*args, **given) if self.all_steps else call_remembered(func, args, given)
        if isinstance(result, Tensor) and not result.is_meta and _of_numbers(args, given):
            return result.to("meta")
        return result


@contextmanager
def undrawn(is_known: bool = True) -> Iterator[None]:
    """Let constructors give no first values, which on the meta device takes longer than all else that they do.

    The arguments of what draws are not checked then: that is for layers of torch, and for what was made before. A
    tensor that is on another device gets its values, since a constructor may look into it.
    """
    token = _undrawn.set(is_known)
    try:
        yield
    finally:
        _undrawn.reset(token)


def _of_numbers(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    return keywords.get("device") is None and not tensors_in([*arguments, *keywords.values()])


@contextmanager
def only_meta(all_steps: bool = False) -> Iterator[None]:
    """Make every tensor on the meta device, for the time of a `with`."""
    with torch.device("meta"), _WithoutValues(all_steps):
        yield


@contextmanager
def meta_device(dtype: torch.dtype, all_steps: bool = False) -> Iterator[None]:
    """Make every tensor on the meta device, with a default dtype, for the time of a `with`.

    `all_steps` has recurrent layers go through a whole sequence, as is needed to count what they do.
    """
    with only_meta(all_steps), float_dtype(dtype):
        yield
