"""The random first values of many models, gathered by their law, and compared in the end.

The comparison is of two samples of one size n, those of built models and those of emitted files, for each law. By the
inequality of Dvoretzky, Kiefer and Wolfowitz for two samples (Wei and Dudley, 2012: the factor is below 2.17 for each
n), their distribution functions are farther apart than sqrt(log(2.17 / p) / n) with a probability of p at the most. All
laws together err with a probability of `NEVER`. The moments have `SIGMAS` standard errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

NEVER = 1e-9
SIGMAS = 8
MANY = 400
"""Moments of fewer values say little, and their errors are no normal ones."""

Law = tuple[object, ...]


@dataclass
class Pool:
    """Two samples for each law."""

    built: dict[Law, list[Tensor]] = field(default_factory=dict)
    alone: dict[Law, list[Tensor]] = field(default_factory=dict)
    models: int = 0
    """How many models there were: each has a seed of its own, or the values of a sample would depend on each other."""

    def add(self, law: Law, built: Tensor, alone: Tensor) -> None:
        """Add the values of one tensor, as they are built, and as an emitted file has them."""
        assert built.shape == alone.shape
        self.built.setdefault(law, []).append(_real(built))
        self.alone.setdefault(law, []).append(_real(alone))

    def check(self) -> None:
        """Compare the samples of each law."""
        wrong = [found for law in self.built if (found := self._difference(law)) is not None]
        assert not wrong, "\n".join(wrong)

    def _difference(self, law: Law) -> str | None:
        built, alone = torch.cat(self.built[law]), torch.cat(self.alone[law])
        bound = math.sqrt(math.log(2.17 * len(self.built) / NEVER) / len(built))
        distance = ks_distance(built, alone)
        if distance > bound:
            return f"{law}: {len(built)} values are {distance:.3f} apart, and {bound:.3f} is the bound"
        if len(built) >= MANY and not _same_moments(built, alone):
            return f"{law}: {_moments(built)} when built, {_moments(alone)} from the file"
        return None


def _real(values: Tensor) -> Tensor:
    values = values.detach()
    return (torch.view_as_real(values) if values.is_complex() else values).double().flatten()


def ks_distance(one: Tensor, other: Tensor) -> float:
    """Return the largest distance of the distribution functions of two samples."""
    one, other = one.sort().values, other.sort().values
    at = torch.cat([one, other])
    below = [torch.searchsorted(values, at, right=True) / len(values) for values in (one, other)]
    return float((below[0] - below[1]).abs().max())


def _moments(values: Tensor) -> str:
    return f"{float(values.mean()):.4f} ± {float(values.std()):.4f}"


def _same_moments(one: Tensor, other: Tensor) -> bool:
    """Return whether mean and variance agree within some standard errors, which the samples themselves tell."""
    both = torch.cat([one, other])
    return all(
        abs(float(f(one).mean() - f(other).mean())) <= SIGMAS * float(f(both).std()) * math.sqrt(2 / len(one))
        for f in (lambda x: x, lambda x: (x - both.mean()) ** 2)
    )
