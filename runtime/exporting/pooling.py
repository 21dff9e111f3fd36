"""Adaptive pooling in operations that every exporter knows at sizes that stay open: products with matrices of means."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Cells = int | None | Sequence[int | None]


def adaptive_avg_pool1d(input: Tensor, output_size: Cells) -> Tensor:
    """Return what torch's function of this name does."""
    (cells,) = _each(output_size, 1)
    return F.adaptive_avg_pool1d(input, 1) if cells == 1 else _means(input, -1, cells)


def adaptive_avg_pool2d(input: Tensor, output_size: Cells) -> Tensor:
    """Return what torch's function of this name does."""
    rows, columns = _each(output_size, 2)
    if rows == columns == 1:
        return F.adaptive_avg_pool2d(input, 1)
    return _means(_means(input, -2, rows), -1, columns)


def _each(size: Cells, count: int) -> Sequence[int | None]:
    return [size] * count if size is None or isinstance(size, int) else size


def _means(input: Tensor, dim: int, cells: int | None) -> Tensor:
    """Return the means of so many cells of a dimension, which overlap where it is no multiple of them."""
    if cells is None:
        return input
    size = input.shape[dim]
    numbers = torch.arange(cells, device=input.device).unsqueeze(1)
    first, end = numbers * size // cells, ((numbers + 1) * size + cells - 1) // cells
    at = torch.arange(size, device=input.device)
    share = ((at >= first) & (at < end)).to(input.dtype) / (end - first)
    moved = input.transpose(dim, -1) @ share.to(input.dtype).transpose(0, 1)
    return moved.transpose(dim, -1)
