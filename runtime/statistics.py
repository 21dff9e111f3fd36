"""Statistics of the values of a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """In float64; None where a tensor has no such figure: an empty one, or an order of complex numbers.

    `mean` of a complex tensor is that of the absolute values. `norm` is the Euclidean one.
    """

    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    norm: float


def statistics(tensor: Tensor) -> Statistics:
    """Return the statistics of a tensor's values; `std` is that of a sample, as `torch.std` has it."""
    values = tensor.detach()
    if values.is_complex():
        values = values.abs()
    values = values.to(torch.float64).flatten()
    count = values.numel()
    low, high = (
        (float(bound) for bound in values.aminmax()) if count and not tensor.is_complex() else (None, None)
    )
    return Statistics(
        float(values.mean()) if count else None,
        float(values.std()) if count > 1 else None,
        low,
        high,
        float(torch.linalg.vector_norm(values)),
    )
