"""The first run of a model that is exported: it runs, changes nothing, and returns the same each time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from runtime.exporting.dimensions import OpenDimensions, Trial, open_dimensions
from runtime.exporting.problems import failed, not_exported
from runtime.exporting.readiness import ready


def prepared(model: nn.Module, fixed: Mapping[str, int]) -> tuple[OpenDimensions, Trial]:
    """Return the open dimensions of a model, and a run of it at its example sizes.

    Raises:
        SpecError: it does not run, changes its buffers, or returns something else the next time.
        TypeError: the model was not built from a spec.
        ValueError: the model is not ready, or there is no such dimension.
    """
    artifact = ready(model)
    dimensions = open_dimensions(artifact, fixed)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        first = dimensions.trial(model, dimensions.example)
    except Exception as error:  # whatever torch raises
        raise failed(artifact, "the model does not run", error) from error
    _check_unchanged(artifact, model, before)
    _check_same(artifact, first, dimensions.trial(model, dimensions.example))
    return dimensions, first


def _check_unchanged(artifact: Artifact, model: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Refuse a model whose forward changes its buffers, and give it back as it was."""
    after = dict(model.named_buffers())
    changed = [name for name, value in before.items() if not _same(after[name], value)]
    for name in changed:
        after[name].copy_(before[name])
    if changed:
        raise not_exported(artifact, f"each call changes `{changed[0]}`, also where the model evaluates")


def _check_same(artifact: Artifact, first: Trial, second: Trial) -> None:
    """Refuse a model that draws random numbers."""
    for one, other in zip(first.outputs, second.outputs, strict=True):
        if isinstance(one, Tensor) and not _same(one, other):
            raise not_exported(
                artifact,
                "the model draws random numbers, also where it evaluates",
                "what another runtime draws cannot be compared with it",
                help="make what is drawn an input",
            )


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether values are equal, those that are no numbers too."""
    return one.shape == other.shape and bool(torch.all((one == other) | (one.isnan() & other.isnan())))
