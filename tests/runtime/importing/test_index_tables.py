"""Tables of places in a grid are formulas in a spec."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

import compiler
from runtime.importing.imported import from_module


class Biased(nn.Module):
    """Attention biases by distance, as LeViT and EfficientFormer have them."""

    index: Tensor

    def __init__(self, side: int, step: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(side**2))
        places = list(itertools.product(range(side), repeat=2))
        queries = list(itertools.product(range(0, side, step), repeat=2))
        rows = [[abs(y - v) * side + abs(x - w) for v, w in places] for y, x in queries]
        self.register_buffer("index", torch.tensor(rows), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.bias[self.index].T


@pytest.mark.parametrize(("side", "step"), [(7, 1), (7, 2), (4, 2)])
def test_a_table_of_distances_is_a_formula(side: int, step: int) -> None:
    made = from_module(Biased(side, step), [torch.randn(2, side**2)])
    assert made.report.proof is not None
    assert made.report.proof.holds
    assert f"arange({side**2}) // {side}).abs() * {side} + " in made.text
    assert compiler.compile_text(made.text)


class Table(nn.Module):
    table: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(size * 80).float().view(size, 80).sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.table


class Loose(nn.Module):
    """Keeps a table as a mere attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.places = torch.arange(320).float().view(4, 80).cos()
        self.linear = nn.Linear(80, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x @ self.places.detach())


def test_a_mere_attribute_is_a_buffer() -> None:
    made = from_module(Loose(), [torch.randn(2, 4)])
    assert made.report.saved == ("places",)
    assert "places: float[4, 80]" in made.text


def test_what_is_of_no_known_formula_is_saved() -> None:
    made = from_module(nn.Sequential(Table(4), nn.Linear(80, 4), Table(4)), [torch.randn(2, 4)])
    assert made.report.saved == ("0.table", "2.table")
    assert set(made.weights) == {"0.table", "2.table", "1.weight", "1.bias"}
    assert "table: float[4, 80]" in made.text
