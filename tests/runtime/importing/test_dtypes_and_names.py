"""What a module holds in another dtype than float32, and layers whose names no program can say."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from runtime.importing.imported import from_module


def test_a_model_in_another_dtype() -> None:
    made = from_module(nn.Sequential(nn.Linear(4, 2), nn.ReLU()).double(), [torch.randn(2, 4).double()])
    assert "placement:\n  - /: {dtype: float64}" in made.text
    assert "input: float[batch, 4]" in made.text


class Precise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4).double()
        self.add_module("head-0", nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.double()).float()
        return self.get_submodule("head-0")(x)  # type: ignore[no-any-return]


def test_a_layer_in_another_dtype_and_one_with_a_name_that_is_none() -> None:
    text = from_module(Precise(), [torch.randn(2, 4)]).text
    assert "placement:\n  - /norm: {dtype: float64}" in text
    assert "head-0 as head_0: Linear(2)" in text


def test_equal_layers_of_which_one_has_a_name_are_no_repeat() -> None:
    layers = OrderedDict([("first", nn.LayerNorm(3)), ("1", nn.LayerNorm(3)), ("2", nn.LayerNorm(3))])
    made = from_module(nn.Sequential(layers), [torch.randn(2, 3)])
    assert made.report.proof is not None
    assert "model:\n  - first: LayerNorm\n  - {repeat: 2, of: LayerNorm}\n" in made.text
