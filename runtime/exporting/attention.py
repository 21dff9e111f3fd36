"""Attention in operations that every exporter knows, for any number of dimensions and any mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return what `scaled_dot_product_attention` does, which takes the same."""
    if enable_gqa:
        groups = query.size(-3) // key.size(-3)
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    if is_causal:
        ones = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device)
        attn_mask = ones.tril()
    weights = torch.softmax(scores, -1) if attn_mask is None else _masked(scores, attn_mask)
    return (F.dropout(weights, dropout_p) if dropout_p else weights) @ value


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the weights under a mask. A row that sees nothing has none, as in torch, and not nan."""
    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    unseen = (scores == -math.inf).all(-1, keepdim=True)
    return torch.softmax(scores, -1).masked_fill(unseen, 0.0)
