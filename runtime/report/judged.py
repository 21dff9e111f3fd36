"""Predictions held against what is true: which classes are taken for which, and how far numbers are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.report.charts import Chart, histogram, scatter_chart, short, thinned

MOST_CLASSES = 20
"""Classes that a matrix is drawn of."""
MOST_PAIRS = 10


@dataclass(frozen=True)
class Cell:
    """How many examples of a class are taken for another one, and which share of the class that is."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True)
class Pair:
    """A class that is taken for another one."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Confusion:
    """Classes by what they are (rows) and by what they are taken for (columns). No rows where there are too many."""

    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    pairs: Sequence[Pair]
    right: int
    total: int


@dataclass(frozen=True)
class Residuals:
    """Predicted numbers against the true ones, and their differences."""

    scatter: Chart | None
    histogram: Chart | None
    facts: Sequence[tuple[str, str]]


def confusion(predicted: Tensor, true: Tensor, names: Sequence[str]) -> Confusion | None:
    """Return which classes are taken for which. A target that is no class, such as one that is ignored, is left out."""
    known = (true >= 0) & (true < len(names))
    predicted, true = predicted[known], true[known]
    if not len(true):
        return None
    size = len(names)
    places, counts = (true * size + predicted).unique(return_counts=True)  # type: ignore[no-untyped-call]
    right = int((true == predicted).sum())
    rows = _rows(places, counts, size) if size <= MOST_CLASSES else []
    return Confusion(names, rows, _pairs(places, counts, names), right, len(true))


def _rows(places: Tensor, counts: Tensor, size: int) -> list[list[Cell]]:
    matrix = torch.zeros(size * size, dtype=torch.int64).index_put((places,), counts).reshape(size, size)
    return [_row(matrix[at], at) for at in range(size)]


def _row(counts: Tensor, at: int) -> list[Cell]:
    total = max(int(counts.sum()), 1)
    return [Cell(count, count / total, column == at) for column, count in enumerate(counts.tolist())]


def _pairs(places: Tensor, counts: Tensor, names: Sequence[str]) -> list[Pair]:
    """Return the most frequent mistakes."""
    found = [
        (*divmod(at, len(names)), count) for at, count in zip(places.tolist(), counts.tolist(), strict=True)
    ]
    wrong = sorted((each for each in found if each[0] != each[1]), key=lambda each: -each[2])
    return [Pair(names[row], names[column], count) for row, column, count in wrong[:MOST_PAIRS]]


def residuals(predicted: Tensor, true: Tensor) -> Residuals | None:
    """Return how far numbers are off."""
    finite = predicted.isfinite() & true.isfinite()
    predicted, true = predicted[finite].double(), true[finite].double()
    if not len(true):
        return None
    error = predicted - true
    pairs = list(zip(true.tolist(), predicted.tolist(), strict=True))
    values = [value for value, _ in thinned([(each, 0.0) for each in error.tolist()], 5_000)]
    return Residuals(
        scatter_chart("Predicted against true", "true", "predicted", pairs),
        histogram("Errors", "predicted − true", values),
        _facts(error, true),
    )


def _facts(error: Tensor, true: Tensor) -> list[tuple[str, str]]:
    facts = [
        ("mean error", short(float(error.mean()))),
        ("mean absolute error", short(float(error.abs().mean()))),
        ("root mean square", short(float(error.square().mean().sqrt()))),
    ]
    around = (true - true.mean()).square().sum()
    if float(around) > 0:
        facts.append(("R²", short(float(1 - error.square().sum() / around))))
    return facts
