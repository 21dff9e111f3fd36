"""Evaluate: the loss and the metrics of a model on its own test split, or on other data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from runtime.classes import artifact_of
from runtime.train import check_installed, training_of
from spec_schema.limits import DEFAULT_LIMITS


def evaluate(
    model: nn.Module,
    *,
    data: str | Path | None = None,
    data_paths: Iterable[str | Path] = (),
    data_limit: int = DEFAULT_LIMITS.data_bytes,
    batch: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Return `test_loss` and the metrics of the spec, of a model that was built or loaded.

    They are those of the test split of its own data, which lie in one of `data_paths` where they are not below the
    working directory, or of all rows of the file `data`. `batch` changes how many are taken at once. The model stays
    where it is, and as it is.

    Raises:
        SpecError: the spec has no `train` section or no test split, the data do not fit, or the extra `train` is not
            installed.
        TypeError: the model was not built from a spec.
    """
    artifact = artifact_of(model)
    training = training_of(artifact)
    check_installed(training)
    from runtime.training.evaluation import evaluated

    paths = tuple(Path(path) for path in data_paths)
    where = None if data is None else Path(data)
    return evaluated(model, artifact, training, where, paths, data_limit, batch, progress)


def predict(
    model: nn.Module,
    inputs: str | Path | Iterable[str | Path],
    *,
    data_limit: int = DEFAULT_LIMITS.data_bytes,
    batch: int = 64,
    progress: bool = False,
) -> dict[str, Any]:
    """Return what a model that was built or loaded makes of the rows of files, as tensors by name, on the CPU.

    A file has the inputs of the model in the arrays that the data of its spec name, or under their own names. The
    rows of several files follow each other. What is not one row for each item is refused.

    Raises:
        SpecError: a file is not there or broken, does not fit the model, or the extra `train` is not installed.
        TypeError: the model was not built from a spec.
    """
    artifact = artifact_of(model)
    check_installed(None)
    from runtime.training.evaluation import predicted

    files = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    return predicted(model, artifact, [Path(file) for file in files], data_limit, batch, progress)
