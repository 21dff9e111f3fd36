"""The entry of DETR, whose reference in `transformers` has a backbone with a configuration of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.parity import Entry
from tests.zoo.transformers_entries import call, transformers

SMALL_BACKBONE = {"embedding_size": 6, "hidden_sizes": [8, 12], "depths": [1, 2], "out_features": ["stage2"]}
SMALL = {
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "num_queries": 5,
    "num_labels": 7,
}


def detector(backbone: Mapping[str, Any], config: Mapping[str, Any], attention: str = "eager") -> nn.Module:
    """Return the reference with all but the first stage trained.

    So it is with the backbone of timm. The pattern of names by which the reference freezes, `stage.1`, misses the
    `stages.1` of its own, all of which it freezes.
    """
    settings = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone_config={"model_type": "resnet", **backbone},
        attn_implementation={"": attention, "backbone_config": "eager"},
        **config,
    )
    made = transformers.DetrForObjectDetection(settings)
    assert isinstance(made, nn.Module)
    made.get_submodule("model.backbone.model.encoder.stages").requires_grad_(True)
    made.get_submodule("model.backbone.model.encoder.stages.0").requires_grad_(False)
    return made


def small(attention: str = "eager") -> nn.Module:
    return detector(SMALL_BACKBONE, SMALL, attention)


def full(depths: list[int]) -> nn.Module:
    return detector({"depths": depths, "out_features": ["stage4"]}, {"num_labels": 91})


def images() -> tuple[Tensor, Tensor]:
    """Return two images, of which the second is smaller, and where they are."""
    seen = torch.ones(2, 40, 56, dtype=torch.int64)
    seen[1, 29:] = 0
    seen[1, :, 37:] = 0
    return torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(3)), seen


ENTRIES = [
    Entry(
        "detr",
        small,
        images,
        partial(call, ["pixel_values", "pixel_mask"], ["logits", "pred_boxes"]),
        {"": partial(full, [3, 4, 6, 3]), "resnet101": partial(full, [3, 4, 23, 3])},
    )
]
