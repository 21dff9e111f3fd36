"""What a module gives its own buffers: in the spec they are updated, and hold the same after it ran."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.importing.imported import from_module
from spec_schema.diagnostics import SpecError
from tests.runtime.importing.test_modules import imported


class Centred(nn.Module):
    """Follows the mean as somebody writes it who knows torch: in place, in training alone."""

    mean: Tensor
    steps: Tensor

    def __init__(self, dim: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.randn(dim))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            seen = x.mean(0)
            with torch.no_grad():
                self.mean.mul_(1 - self.momentum).add_(seen * self.momentum)
                self.steps += 1
            return x - seen
        return x - self.mean


class Assigned(nn.Module):
    """Reads a buffer, gives it a new value by an assignment, and reads it again."""

    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        before = x * self.last
        self.last = x.detach().amax(0) + self.last
        return before - self.last


class Normed(nn.Module):
    """A normalisation by the function, over buffers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(4))
        self.register_buffer("variance", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.average, self.variance, training=self.training)


def text_of(module: nn.Module) -> str:
    made = from_module(module, [torch.randn(3, 4)])
    assert made.report.proof is not None
    assert made.report.proof.trained
    return made.text


def test_a_mean_that_is_followed() -> None:
    text = text_of(nn.Sequential(nn.Linear(4, 6), Centred(6), nn.Linear(6, 2), Centred(2, 0.3)))
    assert "updated: true" in text
    assert "if training:" in text


def test_a_buffer_that_is_replaced() -> None:
    assert "last = " in text_of(Assigned())


def test_a_normalisation_over_own_buffers() -> None:
    assert text_of(Normed()).count("updated: true") == 2


class Cached(nn.Module):
    """Keeps a table that the number of its inputs decides, until there is another number of them."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.table.shape[0] != x.shape[1]:
            self.table = torch.arange(x.shape[1], dtype=torch.float32).square()
        return x * self.table


def test_what_is_kept_of_sizes_is_computed_each_time() -> None:
    text = text_of(nn.Sequential(Cached(), nn.Linear(4, 2)))
    assert "arange(x.shape[1], dtype=float32).square()" in text
    assert "buffers" not in text


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.scale.clamp_(0, 1)
        return x * self.scale


def test_a_parameter_is_not_written() -> None:
    with pytest.raises(SpecError, match="`scale` is written while the module runs"):
        from_module(Clamped(), [torch.randn(3, 4)])


class Still(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn, self.other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def train(self, mode: bool = True) -> Still:
        super().train(mode)
        self.bn.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.bn(x) + 1)


def test_statistics_that_stay_as_they_are_are_frozen() -> None:
    assert "freeze: [/bn.running_mean]" in imported(Still(), torch.randn(3, 4)).text
