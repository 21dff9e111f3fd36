"""Layers of torch on the meta device. Nothing changes one once it is made: specs that are compiled later share it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compiler.catalogue.layers import LayerType

MOST = 1024
"""Layers that are kept, before all are forgotten."""
PLAIN = (type(None), bool, int, float, str, torch.dtype)


@dataclass(frozen=True, eq=False)
class Made:
    """A layer on the meta device. `cast` says that it was converted to its dtype after it was made."""

    module: nn.Module
    dtype: torch.dtype
    cast: bool


_made: dict[Hashable, Made] = {}


def known(key: Hashable) -> Made | None:
    """Return the layer that was made for a key."""
    return _made.get(key)


def keep(key: Hashable, made: Made) -> None:
    """Keep a layer for specs that are compiled later."""
    if len(_made) >= MOST:
        _made.clear()
    _made[key] = made


def forget() -> None:
    """Forget all layers."""
    _made.clear()


def is_alike(layer: LayerType, values: Mapping[str, Any]) -> bool:
    """Return whether a layer follows from its arguments alone: it is torch's, and no run over symbols makes it."""
    watched = torch._C._len_torch_dispatch_stack() > 0  # which tensors of its own kind may come from
    return not watched and layer.source == "torch.nn" and all(map(_is_plain, values.values()))


def _is_plain(value: object) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else type(value) in PLAIN
