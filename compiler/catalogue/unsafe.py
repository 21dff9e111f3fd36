"""What no source may name, whoever wrote it: the resolver refuses it in a spec, the verifier in what is emitted."""

from __future__ import annotations

from functools import cache

UNSAFE_ATTRIBUTES = frozenset({"format", "format_map", "mro"})
"""Attributes that reach others by their name in a text."""


@cache
def private_attributes() -> frozenset[str]:
    """Return the attributes that begin with `_` of modules, of what holds layers, and of tensors."""
    from torch import Tensor, nn  # which takes seconds, and is needed for the few keys that begin so

    holders = (nn.Module(), nn.Sequential(), nn.ModuleList(), nn.ModuleDict(), Tensor(), nn.Parameter())
    return frozenset(name for holder in holders for name in dir(holder) if name.startswith("_"))
