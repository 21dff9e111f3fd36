"""What a module writes in place, and draws in place, becomes operations that return the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from compiler import SpecError
from runtime.importing.imported import from_module


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x).view(-1, 2, 3, 1)
        x[:, 0, 1:] = 0
        x[..., -1] = x[..., 0] * 2
        mask = x.new_zeros((3, 3))
        mask[1:, :2] = 1
        mask[0] = x[0, 0, :, 0]
        mask[mask == 1] = 5
        return x.flatten(1) @ mask.repeat(2, 2)


class Drawn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        if self.training:
            kept = x.new_empty((x.shape[0], 1)).bernoulli_(0.5)
            kept.div_(0.5)
            noise = torch.empty_like(x).uniform_()
            x = x * kept + noise + torch.empty_like(x).normal_()
            x = x + torch.empty_like(x).uniform_(-2, 3) * x.new_empty(x.shape).normal_(1, std=2)
        return x


class Through(nn.Module):
    """Writes through items, and items of items; `y` is read no more where its memory was written."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        y = x.new_empty((x.shape[0], 12))
        y[..., :6].copy_(x)
        y[..., 6:].copy_(x * 2)
        y[1:][:, 0] += 3
        y[0][2] = 1
        last = y[..., -1]
        last *= 2
        return y + last.unsqueeze(-1)


class Places(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[torch.arange(2), torch.arange(2)] = 1.0
        return x


class WithoutGradient(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x.square().mean()
        return self.linear(x) * scale


@pytest.mark.parametrize(
    "module", [Parts(), Drawn(), Places(), Through(), WithoutGradient()], ids=lambda each: type(each).__name__
)
def test_they_are_proven(module: nn.Module) -> None:
    made = from_module(module, [torch.randn(3, 6)])
    assert made.report.proof is not None
    assert made.report.proof.holds


def test_a_write_reads_as_the_whole_that_it_makes() -> None:
    text = from_module(Places(), [torch.randn(3, 6)]).text
    assert "x.index_put((arange(2), arange(2)), x.new_full((), 1.0))" in text.replace("clone().", "")


def test_a_part_that_is_chosen_otherwise_is_refused_with_its_line() -> None:
    class Mixed(Places):
        def forward(self, x: Tensor) -> Tensor:
            x = x.clone()
            x[:, torch.arange(2)] = 1.0
            return x

    with pytest.raises(SpecError) as refused:
        from_module(Mixed(), [torch.randn(3, 6)])
    first = refused.value.diagnostics[0]
    assert first.code == "import-operation"
    assert first.span is not None
    assert "x[:, torch.arange(2)]" in first.span.text
