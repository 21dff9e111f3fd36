"""Torch's own parametrisations of a module are rules of its spec, under torch's names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import register_parametrization

from runtime.importing.imported import from_module
from spec_schema.diagnostics import SpecError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Conv1d(4, 6, 3, padding=1), dim=2)
        self.second = parametrizations.spectral_norm(nn.Conv1d(6, 6, 1), n_power_iterations=2)
        self.third = parametrizations.orthogonal(nn.Linear(6, 4))
        self.fourth = parametrizations.weight_norm(nn.Linear(4, 4)).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        x = self.third(x.mT)
        return self.fourth(x) * self.fourth.weight.abs().mean()


def test_parametrisations_are_rules() -> None:
    made = from_module(Net(), [torch.randn(2, 4, 5)])
    assert made.report.proof is not None
    assert made.report.proof.trained
    rules = made.text[made.text.index("parametrize:") : made.text.index("\n\ninit:")]
    assert (
        rules
        == """\
parametrize:
  - /first.weight: weight_norm(dim=2)
  - /second.weight: spectral_norm(n_power_iterations=2)
  - /third.weight: orthogonal
  - /fourth.weight: weight_norm"""
    )
    assert "freeze: [/fourth.bias, /fourth.weight]" in made.text


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).mT


def test_one_of_the_callers_own_is_refused() -> None:
    layer = nn.Linear(4, 4)
    register_parametrization(layer, "weight", Symmetric())
    with pytest.raises(SpecError, match="`weight` is parametrised by `Symmetric`"):
        from_module(layer, [torch.randn(2, 4)])
