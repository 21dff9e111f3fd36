"""Emitted classes of the zoo at sizes that divide nothing evenly are the models compiled with these."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch

import compiler
from tests.zoo.gallery import spec_of
from tests.zoo.parity import root_class

SETTINGS: dict[str, dict[str, Any]] = {
    "alexnet": {"widths": [5, 25, 48, 33, 17]},
    "convnext": {"depths": [1, 1, 2, 1], "widths": [8, 20, 30, 50], "classes": 3},
    "deepseek_v3": {
        "vocab": 50,
        "dim": 37,
        "depth": 2,
        "heads": 3,
        "n_dense": 1,
        "group": 5,
        "n_groups": 3,
        "n_chosen_groups": 2,
        "expert_hidden": 7,
    },
    "densenet": {"growth": 7, "depths": [2, 3, 1, 2], "base": 9, "classes": 3},
    "detr": {
        "base": 5,
        "depths": [2, 1, 1],
        "widths": [12, 8, 20],
        "dim": 36,
        "depth": 1,
        "heads": 3,
        "hidden": 17,
        "queries": 6,
        "classes": 3,
    },
    "efficientnet": {"wider": 0.55, "deeper": 0.7},
    "gpt2": {"vocab": 50, "dim": 36, "depth": 3, "heads": 4},
    "gpt_neox": {"vocab": 50, "dim": 45, "depth": 3, "heads": 5, "turned": 0.5},
    "mistral": {"vocab": 50, "dim": 65, "depth": 1, "heads": 8, "kv_heads": 4, "hidden": 20},
    "mixtral": {"vocab": 50, "dim": 65, "depth": 1, "heads": 8, "kv_heads": 4, "hidden": 20},
    "phi3": {"vocab": 50, "dim": 65, "depth": 1, "heads": 8, "kv_heads": 4, "hidden": 20},
    "qwen3_moe": {
        "vocab": 50,
        "dim": 65,
        "depth": 1,
        "heads": 6,
        "kv_heads": 3,
        "head_dim": 10,
        "n_experts": 5,
        "n_chosen": 3,
    },
    "resnet": {"depths": [2, 1, 3, 1], "base": 6, "bottleneck": False},
    "swin": {"depths": [1, 2, 1], "dim": 16, "head_dim": 8, "window": 5, "classes": 3},
    "t5": {"vocab": 50, "dim": 30, "depth": 2, "heads": 3, "head_dim": 7, "hidden": 41},
    "vgg": {"depths": [1, 2, 1], "base": 3, "hidden": 11, "normed": False},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_class_at_other_sizes_is_the_model_compiled_with_them(name: str) -> None:
    settings, path = SETTINGS[name], spec_of(name)
    rows = compiler.compile(path, set={key: json.dumps(value) for key, value in settings.items()}).plan.rows
    with torch.device("meta"):
        model = root_class(compiler.compile(path))(**settings)
    found = {title: tuple(tensor.shape) for title, tensor in model.state_dict().items()}
    assert found == {title: row.shape for row in rows if row.persistent for title in row.names}


@pytest.mark.parametrize("name", ["deepseek_v3", "phi3", "qwen3_moe"])
def test_no_argument_says_again_what_others_say(name: str) -> None:
    """What a class hands on, and the product of two of its arguments, is no argument of its own."""
    source = compiler.compile(spec_of(name)).source
    assert re.findall(r"\b(\w+_2|in_features|normalized_shape)\b", source) == []
