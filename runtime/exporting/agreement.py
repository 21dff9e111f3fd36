"""Whether what was written does what the model does, at several sizes of every open dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from runtime.exporting.dimensions import OpenDimensions, Trial
from runtime.exporting.problems import failed, not_exported
from spec_schema.shown import ShownError

TOLERANCES = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far apart values may be, as a part of the largest where that is above 1."""
TOLERANCE = 1e-4

Run = Callable[[Trial], Mapping[str, Tensor]]
"""Gives what was written the inputs of a trial, and returns its outputs by their names."""


@dataclass(frozen=True)
class Agreement:
    """At which sizes an export was run beside the model, and the largest difference of an output.

    `limits` are sizes of 1 at which it refuses to run, in its own words, where the model does run.
    """

    sizes: tuple[str, ...]
    difference: float
    limits: tuple[str, ...] = ()


def agreement(run: Run, model: nn.Module, dimensions: OpenDimensions, first: Trial) -> Agreement:
    """Run what was written beside the model.

    Raises:
        SpecError: it does something else, or does not run.
    """
    sizes, limits, largest = [], [], 0.0
    for trial in chain([first], dimensions.others(model)):
        try:
            largest = max([largest, *_differences(run, dimensions, trial)])
        except _LimitedError as limit:
            limits.append(f"{trial.told}: {limit}")
        else:
            sizes.append(trial.told)
    return Agreement(tuple(sizes), largest, tuple(limits))


class _LimitedError(ShownError):
    """A program of torch says that it does not hold at a size of 1, which torch looks at by itself."""


def _differences(run: Run, dimensions: OpenDimensions, trial: Trial) -> Iterator[float]:
    """Yield how far each output is from that of the model."""
    artifact, help = dimensions.artifact, _help(dimensions, trial)
    try:
        found = run(trial)
    except Exception as error:  # each runtime has its own
        if isinstance(error, AssertionError) and 1 in [trial.sizes[name] for name in dimensions.names]:
            raise _LimitedError(str(error)) from None
        raise failed(artifact, f"what was written fails at {trial.told}", error, help) from error
    expected = [each for each in trial.outputs if isinstance(each, Tensor)]
    for (name, theirs), ours in zip(found.items(), expected, strict=True):
        apart = difference(theirs, ours)
        if not apart <= TOLERANCES.get(ours.dtype, TOLERANCE):
            message = f"`{name}` of what was written is {apart:.3g} away from the model's at {trial.told}"
            raise not_exported(artifact, message, *_turns(dimensions), help=help)
        yield apart


def _help(dimensions: OpenDimensions, trial: Trial) -> str | None:
    """Return how to export what agrees: at the example sizes of what was another size here."""
    example = dimensions.example
    other = [
        f"--fix {name}={example[name]}" for name in dimensions.names if trial.sizes[name] != example[name]
    ]
    if len(other) > 1:
        return f"`{' '.join(other)}` exports the model at these sizes alone; one of them may be enough"
    return f"`{other[0]}` exports the model at that size alone" if other else None


def _turns(dimensions: OpenDimensions) -> list[str]:
    return ["a condition on a size is decided once in a graph"] if dimensions.artifact.inferred.others else []


def real(value: Tensor) -> Tensor:
    """Return a value as ONNX has it: complex numbers are pairs of real ones, in a last dimension."""
    return torch.view_as_real(value) if value.is_complex() else value


def difference(theirs: Tensor, ours: Tensor) -> float:
    """Return the largest difference, as a part of the largest value above 1; infinite if shapes differ."""
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        return float("inf")
    if not ours.numel() or torch.equal(theirs, ours):
        return 0.0
    if ours.is_complex():
        return difference(real(theirs), real(ours))
    one, other = theirs.double(), ours.double()
    if not torch.equal(one.isnan(), other.isnan()) or not torch.equal(one.isinf(), other.isinf()):
        return float("inf")
    one, other = one.nan_to_num(posinf=0.0, neginf=0.0), other.nan_to_num(posinf=0.0, neginf=0.0)
    return float((one - other).abs().max() / max(1.0, float(other.abs().max())))
