"""Functions of torch whose result follows from the forms of their tensors: the same call is made once.

What these do on the meta device is written in Python, one primitive at a time, and takes up to 3 ms. The layers of a
model call them over the same few shapes, in each mode and at each size that is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compiler.catalogue.unheard import unheard
from compiler.infer.known_forms import FORMULAS, Form, filled, known_form
from compiler.infer.placed import map_tensors

REMEMBERED: frozenset[Callable[..., Any]] = frozenset(
    {
        *(F.batch_norm, F.gelu, F.instance_norm, F.layer_norm, F.linear, F.multi_head_attention_forward),
        *(F.relu, F.rms_norm, F.scaled_dot_product_attention, torch.relu, torch.roll, torch.where),
        *(Tensor.add, Tensor.div, Tensor.gt, Tensor.lt, Tensor.mul, Tensor.relu, Tensor.roll, Tensor.sub),
        *FORMULAS,
    }
)
"""Each returns new tensors, unless it is told to work in place."""
MOST = 4096
"""Calls that are remembered, before all are forgotten."""


Made = Form | tuple["Made", ...] | None
_made: dict[Hashable, Made] = {}


def call_remembered(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """Call a function; over tensors of forms that it had before, on the meta device, return another such result."""
    same = filled(function, arguments, keywords)
    if same is not None:
        return same
    form = known_form(function, arguments, keywords)
    if form is not None:
        return made_again(form)
    key = _key(function, arguments, keywords)
    if key is None:
        return function(*arguments, **keywords)
    if key not in _made:
        result = function(*arguments, **keywords)
        if len(_made) >= MOST:
            _made.clear()
        _made[key] = map_tensors(_form_of_tensor, result)
        return result
    return made_again(_made[key])


def _key(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Hashable | None:
    """Return all that the result follows, None if it may follow more."""
    if function not in REMEMBERED or _is_in_place(arguments, keywords):
        return None
    try:
        given = (_form(arguments), tuple(keywords), _form(list(keywords.values())))
    except TypeError:
        return None
    return (function, torch.get_default_dtype(), *given)


def _is_in_place(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    """Return whether `relu` is told to change its input."""
    return any(each is True for each in (*arguments[1:2], keywords.get("inplace")))


def made_again(made: Made) -> Any:
    """Return a new result like one that was made before."""
    if isinstance(made, Form):
        with unheard():
            return torch.empty_strided(made.shape, made.stride, dtype=made.dtype, device="meta")
    return None if made is None else tuple(map(made_again, made))


def _form(value: Any) -> Hashable:
    """Return a key of an argument.

    Raises:
        TypeError: it is no plain value, or a tensor with values, of a class of its own, or with symbols as sizes.
    """
    match value:
        case Tensor():
            return _form_of_tensor(value)
        case list() | tuple():
            return tuple(map(_form, value))
        case None | bool() | int() | float() | str():
            return (type(value), value)
    raise TypeError(type(value).__name__)


def _form_of_tensor(tensor: Tensor) -> Form:
    with unheard():
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.is_meta
        if not plain or not all(type(size) is int for size in tensor.shape):
            raise TypeError(type(tensor).__name__)
        return Form(tuple(tensor.shape), tensor.stride(), tensor.dtype)
