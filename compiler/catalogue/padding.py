"""Rows of a tensor that stand for padding."""

from __future__ import annotations

from torch import nn

LAYERS = (nn.Embedding, nn.EmbeddingBag)


def padding_row(module: nn.Module | None, name: str) -> int | None:
    """Return the row of a layer's tensor that `padding_idx` names, None if there is none.

    The layer itself counts a negative one from the end when it is made.
    """
    if not isinstance(module, LAYERS) or name != "weight":
        return None
    return module.padding_idx
