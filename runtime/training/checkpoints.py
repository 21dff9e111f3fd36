"""Checkpoints of a training that hold no code: the tensors in a safetensors file, all else as JSON in its header.

Lightning's own files are pickles, which can run code when they are read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

from compiler.artifact import Artifact
from runtime.files.header import FileError
from runtime.files.sealed import read_sealed, write_sealed
from runtime.sharded import local, on_mesh
from runtime.training.override import section_of, without
from spec_schema.shown import shown

KIND = "checkpoint"
RUN = "blockprint"
"""The key under which a checkpoint describes the training that it belongs to."""
NOT_COMPARED = ("epochs", "steps")
"""Keys of `train` that may differ when a training is resumed."""


class SafeCheckpoints(CheckpointIO):
    """Writes and reads checkpoints; a file is written whole or not at all."""

    def __init__(self, allow_large: bool = False) -> None:
        super().__init__()
        self.allow_large = allow_large

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        tensors, about = packed(checkpoint)
        write_sealed(path, KIND, about, tensors)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = read_checkpoint(Path(path), self.allow_large)
        return found

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


class LastCheckpoint(Checkpoint):
    """Keeps the state after the last whole epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.current.completed == trainer.num_training_batches:
            trainer.save_checkpoint(self.path)


def read_checkpoint(path: Path, allow_large: bool = False) -> Any:
    """Return what a checkpoint holds.

    Raises:
        FileError: the file is damaged, no checkpoint of a training, or too large for the memory.
        FileNotFoundError: there is no such file.
    """
    otherwise = "is no checkpoint of a training; a saved model cannot be resumed"
    found = read_sealed(path, KIND, otherwise, allow_large=allow_large)
    try:
        return _unpack(found.about["state"], found.tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError(f"{path} is no checkpoint: its state cannot be read") from None


# The run that a checkpoint belongs to.


def describe_run(artifact: Artifact, seed: int, length: int) -> dict[str, Any]:
    """Return what must be the same when a training is resumed, and its length in epochs or steps."""
    return {"spec": _compared(artifact), "seed": seed, "length": length}


def check_run(
    checkpoint: Mapping[str, Any],
    expected: Mapping[str, Any],
    follows_length: bool,
    override: Collection[str] = (),
    path: Path | None = None,
) -> bool:
    """Refuse a checkpoint of another training; return whether it differs in what is overridden.

    `follows_length` says that the schedule is as long as that, `path` where the checkpoint lies.

    Raises:
        FileError: the spec, the seed or what the schedule follows differ.
    """
    run = checkpoint.get(RUN)
    if not isinstance(run, dict):
        raise FileError("the checkpoint does not say which training it belongs to")
    bundles = run["spec"], expected["spec"]
    _check_override(override, bundles)
    before, now = (without(each, override) for each in bundles)
    places = list(_differences(before, now, []))
    if places:
        told = f"the checkpoint belongs to another spec: `{'.'.join(places[0])}` differs"
        raise FileError(told, *_way_out(places, bundles, override, path))
    if run["seed"] != expected["seed"]:
        raise FileError(f"the checkpoint belongs to a training with the seed {run['seed']}")
    if follows_length and run["length"] != expected["length"] and "train.schedule" not in override:
        raise FileError(
            f"the schedule follows the length of the training, which was {run['length']} "
            f"and is {expected['length']} now"
        )
    differs: bool = bundles[0] != bundles[1]
    return differs


def _check_override(override: Collection[str], bundles: tuple[Any, Any]) -> None:
    """Refuse to override a variable of which more than the training depends."""
    for each in override:
        section, _, name = each.partition(".")
        if section == "vars" and section_of(["spec", section, name], bundles) is None:
            raise FileError(f"`{each}` cannot be overridden: more than the training depends on it")


def _way_out(
    places: list[list[str]], bundles: tuple[Any, Any], override: Collection[str], path: Path | None
) -> list[str]:
    """Return how to go on with the new values, if that is possible."""
    sections = [section_of(place, bundles) for place in places]
    if path is None or None in sections:
        return []
    options = " ".join(f"--override {each}" for each in dict.fromkeys([*override, *sections]))
    return [f"to go on with the new values: `--resume {shown(str(path))} {options}`"]


def _compared(artifact: Artifact) -> Any:
    """Return the canonical spec without what may differ."""
    bundle: Any = json.loads(artifact.canonical_text)
    for key in NOT_COMPARED:
        bundle["spec"]["train"].pop(key, None)
    bundle["spec"].pop("mesh", None)  # any ranks go on where others were
    return bundle


def _differences(a: Any, b: Any, path: list[str]) -> Iterator[list[str]]:
    """Yield the path of each difference between two plain values."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            if (key in a) != (key in b):
                yield [*path, key]
            else:
                yield from _differences(a[key], b[key], [*path, key])
    elif a != b:
        yield path


# Packing: JSON for plain values, with a mark for what JSON has not.


def packed(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a checkpoint by number, and all else as a file says it of itself."""
    tensors: dict[str, Tensor] = {}
    return tensors, {"state": _pack(checkpoint, tensors, {})}


def _pack(value: Any, tensors: dict[str, Tensor], known: dict[Any, str]) -> Any:
    """Return a value as JSON; its tensors are collected by number, one with several names once."""
    match value:
        case float() if not math.isfinite(value):
            return {"float": str(value)}  # which JSON has no name for
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            return {"tensor": _name(value, tensors, known)}
        case dict():
            pairs = [[key, _pack(item, tensors, known)] for key, item in value.items()]
            return {"dict": pairs}
        case tuple():
            return {"tuple": [_pack(item, tensors, known) for item in value]}
        case list():
            return [_pack(item, tensors, known) for item in value]
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _name(tensor: Tensor, tensors: dict[str, Tensor], known: dict[Any, str]) -> str:
    if on_mesh(tensor):  # of which this rank may hold nothing
        key: Any = local(tensor).untyped_storage()._cdata, tensor.shape
    else:
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
    if key not in known or not tensor.numel():
        known[key] = str(len(tensors))
        tensors[known[key]] = tensor
    return known[key]


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    match kind:
        case "float":
            return float(inside)
        case "tensor":
            return tensors[inside]
        case "dict":
            return {key: _unpack(item, tensors) for key, item in inside}
        case "tuple":
            return tuple(_unpack(item, tensors) for item in inside)
    raise ValueError(kind)
