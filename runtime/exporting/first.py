"""The first run of a model that is exported: it runs, and returns the same each time."""

from __future__ import annotations

import torch
from torch import nn

from runtime.exporting.dimensions import OpenDimensions, Trial
from runtime.exporting.problems import failed, not_exported


def first_trial(model: nn.Module, dimensions: OpenDimensions) -> Trial:
    """Return a run of the model at its example sizes.

    Raises:
        SpecError: it does not run, or returns something else the next time.
    """
    try:
        first, second = (dimensions.trial(model, dimensions.example) for _ in range(2))
    except Exception as error:  # whatever torch raises
        raise failed(dimensions.artifact, "the model does not run", error) from error
    for one, other in zip(first.outputs, second.outputs, strict=True):
        if isinstance(one, torch.Tensor) and not torch.equal(one.nan_to_num(), other.nan_to_num()):
            raise not_exported(
                dimensions.artifact,
                "the model draws random numbers, also where it evaluates",
                "what another runtime draws cannot be compared with it",
                help="make what is drawn an input",
            )
    return first
