"""Whether a file of ONNX does what the model does, by onnxruntime, at several sizes of every open dimension."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from runtime.exporting.dimensions import OpenDimensions, Trial
from runtime.exporting.problems import failed, not_exported

TOLERANCES = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far apart values may be, as a part of the largest where that is above 1."""
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Agreement:
    """At which sizes a file was run beside the model, and the largest difference of an output."""

    sizes: tuple[str, ...]
    difference: float


def agreement(path: Path, model: nn.Module, dimensions: OpenDimensions, first: Trial) -> Agreement:
    """Run a file beside the model.

    Raises:
        SpecError: it does something else, or does not run.
    """
    session = _session(path, dimensions)
    sizes, largest = [], 0.0
    for trial in chain([first], dimensions.others(model)):
        largest = max([largest, *_differences(session, dimensions, trial)])
        sizes.append(trial.told)
    return Agreement(tuple(sizes), largest)


def _session(path: Path, dimensions: OpenDimensions) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many, all of them its own
        raise failed(dimensions.artifact, "onnxruntime does not take the file", error) from error


def _differences(session: Any, dimensions: OpenDimensions, trial: Trial) -> Iterator[float]:
    """Yield how far each output of the file is from that of the model."""
    names = [each.name for each in dimensions.inputs]
    given = {name: value.numpy() for name, value in zip(names, trial.inputs, strict=True)}
    try:
        found = session.run(None, given)
    except Exception as error:  # as above
        raise failed(dimensions.artifact, f"onnxruntime fails at {trial.told}", error) from error
    expected = [each for each in trial.outputs if isinstance(each, Tensor)]
    for output, theirs, ours in zip(session.get_outputs(), found, expected, strict=True):
        apart = difference(torch.from_numpy(theirs), ours)
        if not apart <= TOLERANCES.get(ours.dtype, TOLERANCE):
            raise not_exported(
                dimensions.artifact,
                f"`{output.name}` of the file is {apart:.3g} away from the model's at {trial.told}",
                *_where_limited(dimensions),
                help=_help(dimensions, trial),
            )
        yield apart


def _help(dimensions: OpenDimensions, trial: Trial) -> str | None:
    """Return how to export what agrees: at the example sizes of what was another size here."""
    example = dimensions.example
    other = [
        f"--fix {name}={example[name]}" for name in dimensions.names if trial.sizes[name] != example[name]
    ]
    return f"`{' '.join(other)}` exports the model at that size alone" if other else None


def _where_limited(dimensions: OpenDimensions) -> list[str]:
    return (
        ["a condition on a size is decided once in a file of ONNX"]
        if dimensions.artifact.inferred.others
        else []
    )


def difference(theirs: Tensor, ours: Tensor) -> float:
    """Return the largest difference, as a part of the largest value above 1; infinite if shapes differ."""
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        return float("inf")
    if not ours.numel():
        return 0.0
    one, other = theirs.double(), ours.double()
    if not torch.equal(one.isnan(), other.isnan()) or not torch.equal(one.isinf(), other.isinf()):
        return float("inf")
    one, other = one.nan_to_num(posinf=0.0, neginf=0.0), other.nan_to_num(posinf=0.0, neginf=0.0)
    return float((one - other).abs().max() / max(1.0, float(other.abs().max())))
