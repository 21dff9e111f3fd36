"""The mean of the losses of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


class MeanLoss:
    """The mean over items, from the means of batches. No value is looked at, so that no device is waited for.

    What is no number in one batch is none in the mean: torchmetrics' own mean would leave such batches out.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.total = torch.tensor(0.0)
        self.count = 0

    def update(self, mean: Tensor, count: int) -> None:
        """Add the mean over so many items."""
        part = mean.detach().float()
        self.total = torch.add(self.total, part, alpha=count) if self.count else part * count
        self.count += count

    def compute(self) -> Tensor:
        """Return the mean, which is not a number if there was nothing."""
        return self.total / self.count if self.count else torch.tensor(float("nan"))
