"""Layers of torch that copy one layer, values included, where a model has layers with values of their own."""

from __future__ import annotations

from torch import nn

COPYING = (nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer)


def is_copied(layer: nn.Module | None, dimensions: int) -> bool:
    """Return whether a constructor makes a tensor of a layer, of so many dimensions, as a copy of another one.

    `Transformer` draws all that have two or more anew.
    """
    return isinstance(layer, COPYING) and (dimensions < 2 or not isinstance(layer, nn.Transformer))
