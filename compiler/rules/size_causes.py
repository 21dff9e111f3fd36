"""Which argument of a layer of the catalogue decides which dimension of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import nn

from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.on_meta import only_meta
from compiler.infer.states import Leaf


@lru_cache(maxsize=4096)
def causes(leaf: Leaf, inner: tuple[str, ...]) -> Mapping[int, tuple[str, ...]]:
    """Return, for each dimension of a tensor of a layer, the arguments that change its size.

    Found by trial, on the meta device: the layer is made again with one argument larger.
    """
    arguments = {
        **leaf.values,
        **leaf.inferred,
        **{name: nested.module for name, nested in leaf.nested.items()},
    }
    assert leaf.module is not None
    before = _shape(leaf.module, inner)
    causes: dict[int, tuple[str, ...]] = {}
    for name, value in arguments.items():
        after = next(filter(None, (_made(leaf, inner, {**arguments, name: v}) for v in _larger(value))), None)
        for at, (one, two) in enumerate(zip(before, after, strict=False)) if after else ():
            if one != two:
                causes[at] = (*causes.get(at, ()), name)
    return causes


def _larger(value: object) -> list[Any]:
    """Return larger values to try: twice as large keeps what is divisible so."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [2 * value or 1, value + 1]
    if isinstance(value, list | tuple) and value and all(type(each) is int for each in value):
        return [[2 * each or 1 for each in value], [each + 1 for each in value]]
    return []


def _made(leaf: Leaf, inner: tuple[str, ...], arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the shape of a tensor of the layer with other arguments, None if it refuses them."""
    try:
        with only_meta():
            return _shape(leaf.layer.cls(**arguments), inner)
    except TORCH_ERRORS:
        return None


def _shape(module: nn.Module, inner: tuple[str, ...]) -> tuple[int, ...]:
    owner = module.get_submodule(".".join(inner[:-1]))
    return tuple(getattr(owner, inner[-1]).shape)
