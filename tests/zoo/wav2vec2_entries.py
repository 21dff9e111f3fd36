"""How wav2vec 2.0 of `transformers` is built and called: small ones, and those that are published."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PUBLISHED_PRENORM = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
"""What the larger models that are published have together."""
SMALL: dict[str, Any] = {
    "conv_dim": [12, 12, 12],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
    "vocab_size": 10,
}
SMALL_PRENORM = {**SMALL, **PUBLISHED_PRENORM, "layerdrop": 0.5}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
FULL = {
    "": {},
    "large": LARGE,
    "large_lv60": {**LARGE, **PUBLISHED_PRENORM},
    "xls_r_2b": {
        **PUBLISHED_PRENORM,
        "hidden_size": 1920,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "intermediate_size": 7680,
    },
}


def audio() -> dict[str, Tensor]:
    """Return 12 frames, of which the second sample has fewer, and some are hidden."""
    generator = torch.Generator().manual_seed(3)
    samples = torch.randn(2, 250, generator=generator)
    seen = torch.ones(2, 250, dtype=torch.int64)
    seen[1, 187:] = 0
    masked = torch.rand(2, 12, generator=generator) < 0.3
    return {"input_values": samples * seen, "attention_mask": seen, "mask_time_indices": masked}
