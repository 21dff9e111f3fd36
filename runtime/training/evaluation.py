"""Evaluations and predictions, run by Lightning's Trainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from compiler.artifact import Artifact
from compiler.training.section import Training
from compiler.training.source import Loading
from runtime.training.data import Splits
from runtime.training.held import file_items, input_fields, named, split_items
from runtime.training.items import Batch, Items, test_batches
from runtime.training.learner import Learner
from runtime.training.log import quiet
from runtime.training.no_profiler import NoProfiler
from runtime.training.progress import EvaluationBar
from runtime.training.task import input_names, make_task, on_device, output_of, several_devices
from spec_schema.diagnostics import refuse
from spec_schema.folders import Folders
from spec_schema.source import Span


class Predictor(L.LightningModule):
    """Gives what a model makes of each batch."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], place: Span) -> None:
        super().__init__()
        self.model = model
        self.names, self.place = names, place

    def predict_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        output = output_of(self.model, self.names, batch, self.place)
        count = len(batch[self.names[0]])
        return {name: _rows(name, value, count, self.place) for name, value in leaves("output", output)}


def evaluated(
    model: nn.Module,
    artifact: Artifact,
    training: Training,
    data: Path | None,
    paths: tuple[Path, ...],
    limit: int,
    batch: int | None,
    progress: bool,
) -> dict[str, Any]:
    """Return the results of a model on its test split, or on a file; see `runtime.evaluate`."""
    training = replace(training, batch=batch or training.batch)
    own = Folders(artifact.folder, paths)
    if data is None:
        items = split_items(artifact, training, own, limit)
    else:
        items = file_items(artifact, data, training.data.fields, limit, training.batch, own)
    device = _device(model, training.data.span)
    with quiet():
        task = make_task(artifact, training, model, Splits(items, items), device)
        learner = Learner(task)
        _trainer(device, training.precision, progress).test(learner, verbose=False)
    model.to(device)
    names = ["test_loss", *(measure.name for measure in training.metrics)]
    return {name: learner.results[name] for name in names}


def predicted(
    model: nn.Module, artifact: Artifact, files: Sequence[Path], limit: int, batch: int, progress: bool
) -> dict[str, Tensor]:
    """Return what a model makes of the rows of files; see `runtime.predict`."""
    names = input_names(artifact)
    fields = input_fields(artifact, names)
    device = _device(model, artifact.program.model.span)
    parts: list[Mapping[str, Tensor]] = []
    with quiet():
        for file in files:
            items = file_items(artifact, file, fields, limit, batch)
            predictor = Predictor(model, names, named(str(file)))
            trainer = _trainer(device, "32-true", progress)
            parts += trainer.predict(predictor, _in_order(items, batch)) or []  # type: ignore[arg-type]
    model.to(device)
    return {name: _joined(name, [part[name] for part in parts], files) for name in parts[0]}


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value of a nested output with its name: `output`, `output_0`, or the key of a dictionary."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(str(key) if name == "output" else f"{name}_{key}", part)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from leaves(f"{name}_{number}", part)
    elif value is not None:
        yield name, value


def _rows(name: str, value: Any, count: int, place: Span) -> Tensor:
    if isinstance(value, Tensor) and value.ndim and len(value) == count:
        return value.cpu()
    what = (
        f"has the shape {list(value.shape)}" if isinstance(value, Tensor) else f"is a {type(value).__name__}"
    )
    raise refuse(
        "not-by-row", f"`{name}` {what}, and is not a row for each of {count} items of the input", place
    )


def _joined(name: str, parts: list[Tensor], files: Sequence[Path]) -> Tensor:
    shapes = list(dict.fromkeys(str(list(part.shape[1:])) for part in parts))
    if len(shapes) > 1:
        message = f"the rows of `{name}` have the shape {shapes[0]} and {shapes[1]}"
        raise refuse("not-by-row", message, named(str(files[-1])), help="predict one file at a time")
    return torch.cat(parts)


def _in_order(items: Items, batch: int) -> DataLoader[Batch]:
    return test_batches(items, batch, Loading(), pinned=False)


def _device(model: nn.Module, place: Span) -> torch.device:
    """Return the device of a model, or refuse one on several."""
    tensors = [*model.parameters(), *model.buffers()]
    devices = list(dict.fromkeys(tensor.device for tensor in tensors)) or [torch.device("cpu")]
    if len(devices) > 1:
        raise several_devices([str(device) for device in devices], "evaluated", place)
    return devices[0]


def _trainer(device: torch.device, precision: Any, progress: bool) -> L.Trainer:
    shown = progress and sys.stderr.isatty()
    return L.Trainer(
        **on_device(device),
        precision=precision,
        logger=False,
        callbacks=[EvaluationBar()] if shown else [],
        profiler=NoProfiler(),
        enable_checkpointing=False,
        enable_progress_bar=shown,
        enable_model_summary=False,
    )
