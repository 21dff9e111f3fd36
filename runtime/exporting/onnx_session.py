"""A file of ONNX, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from runtime.exporting.agreement import Run, real
from runtime.exporting.dimensions import OpenDimensions, Trial
from runtime.exporting.problems import failed

FATAL = 4
"""What onnxruntime is to tell of: the rest is raised, or said of graphs that are fine."""


def session(path: Path, dimensions: OpenDimensions) -> Run:
    """Return what runs a file on the CPU.

    Raises:
        SpecError: onnxruntime does not take it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    try:
        made = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many, all of them its own
        raise failed(dimensions.artifact, "onnxruntime does not take the file", error) from error
    names = [each.name for each in dimensions.inputs]

    def run(trial: Trial) -> Mapping[str, Tensor]:
        given = {name: real(value).numpy() for name, value in zip(names, trial.inputs, strict=True)}
        ours = [each for each in trial.outputs if isinstance(each, Tensor)]
        outputs = zip(made.get_outputs(), made.run(None, given), ours, strict=True)
        return {output.name: _like(torch.from_numpy(value), each) for output, value, each in outputs}

    return run


def _like(found: Tensor, ours: Tensor) -> Tensor:
    return torch.view_as_complex(found) if ours.is_complex() else found
