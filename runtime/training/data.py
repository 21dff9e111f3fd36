"""Opens the data of a training, splits it, and holds it against what the model takes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from compiler.artifact import Artifact
from compiler.resolve.values import free_names
from compiler.training.section import Training
from compiler.training.source import NEXT_CHARACTERS, TEXT_ARRAYS, DataSource, FieldSource, Origin
from runtime.training.items import Batch, Items, Unshuffled, Weighted, Windows, class_weights
from runtime.training.opened import Opened, Reading
from runtime.training.places import Named, open_bounded
from runtime.training.sources import open_origin
from runtime.training.splitting import by_share, grouped, stratified
from runtime.training.transforms import Transformed, make_transformation
from spec_schema.diagnostics import Label, refuse
from spec_schema.evaluate import evaluate
from spec_schema.folders import Folders
from spec_schema.limits import DEFAULT_LIMITS


@dataclass(frozen=True)
class Splits:
    """What is trained on, and what is held back."""

    train: Items
    test: Items | None
    validation: Items | None = None
    texts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The numbers of the texts of an array: classes by name, or characters."""


def open_data(
    artifact: Artifact,
    training: Training,
    folders: Folders,
    limit: int = DEFAULT_LIMITS.data_bytes,
    seed: int = 0,
) -> Splits:
    """Return the data of a training, which lie in `folders`. No more than `limit` bytes are read.

    Raises:
        SpecError: a file is not there, elsewhere, too large or broken, lacks an array, or does not fit the model.
    """
    source = training.data
    dtypes = {name: tensor.dtype for name, tensor in artifact.inferred.inputs.items()}
    reading = Reading(source, folders, limit, dtypes)
    splits = _text(reading) if source.kind == "text" else _rows(reading)
    splits = _transformed(artifact, source, splits, seed)
    check_inputs(artifact, source.fields, splits.train[splits.train.in_order()[: training.batch]])
    return splits


def open_other(
    artifact: Artifact,
    source: DataSource,
    origin: Origin,
    folders: Folders,
    limit: int,
    batch: int,
    own: Folders | None = None,
) -> Items:
    """Return all items of another place, with the fields of `source`, as those are that are held back.

    `source` is that of the training, maybe with fewer fields. `folders` are those of the other place, and as many
    items as in `batch` are held against what the model takes. The data of the training, from which texts and classes
    have their numbers, lie in `own`, or else beside the spec.

    Raises:
        SpecError: as `open_data`; or texts and classes are numbered as in the training, whose data are not there.
    """
    dtypes = {name: tensor.dtype for name, tensor in artifact.inferred.inputs.items()}
    reading = Reading(replace(source, origin=origin), folders, limit, dtypes)
    opened = open_origin(reading, origin)
    if artifact.training and reading.texts.keys() & {
        n for each in source.fields.values() for n in each.names
    }:
        known = _numbers_of_training(artifact, artifact.training, limit, own)
        opened = open_origin(replace(reading, texts=known), origin)
    items = _whole(opened, origin)
    if source.transform is not None:
        change = make_transformation(artifact, source.transform, items, 0)
        items = Transformed(items, change, source.fields, training=False)
    check_inputs(artifact, source.fields, items[items.in_order()[:batch]])
    return items


def _numbers_of_training(
    artifact: Artifact, training: Training, limit: int, own: Folders | None
) -> dict[str, dict[str, int]]:
    """Return the numbers that texts have in the data of a training."""
    folders = own or Folders(artifact.folder)
    dtypes = {name: tensor.dtype for name, tensor in artifact.inferred.inputs.items()}
    reading = Reading(training.data, folders, limit, dtypes)
    open_origin(reading, training.data.origin)
    return reading.texts


def _transformed(artifact: Artifact, source: DataSource, splits: Splits, seed: int) -> Splits:
    if source.transform is None:
        return splits
    change = make_transformation(artifact, source.transform, splits.train, seed)
    test, validation = (
        None if items is None else Transformed(items, change, source.fields, training=False)
        for items in (splits.test, splits.validation)
    )
    train = Transformed(splits.train, change, source.fields, training=True)
    return Splits(train, test, validation, splits.texts)


# Rows.


def _rows(reading: Reading) -> Splits:
    source = reading.source
    opened = open_origin(reading, source.origin)
    held = {"test": source.test, "validation": source.validation}
    shares = {name: share for name, share in held.items() if isinstance(share, float)}
    places = _split(opened, source, tuple(shares.values()))
    apart = {
        name: _whole(open_origin(reading, place), place)
        for name, place in held.items()
        if isinstance(place, Origin)
    }
    items = {name: opened.items(part) for name, part in zip(shares, places, strict=False)} | apart
    train = _ordered(opened, source, places[-1])
    return Splits(train, items.get("test"), items.get("validation"), reading.texts)


def _split(opened: Opened, source: DataSource, shares: tuple[float, ...]) -> list[Tensor]:
    """Return the places of each share, and those of what is trained on."""
    if not len(opened):
        raise _empty(source.origin, "the data have 0 items")
    if source.stratify is not None:
        places = stratified(opened.values(source.stratify), shares)
    elif source.group is not None:
        places = grouped(opened.values(source.group), shares)
    else:
        places = by_share(len(opened), shares)
    if not all(len(part) for part in places):
        raise _empty(source.origin, "a split of the data would be empty")
    return places


def _whole(opened: Opened, origin: Origin) -> Items:
    if not len(opened):
        raise _empty(origin, "the split has 0 items")
    return opened.items(torch.arange(len(opened)))


def _empty(origin: Origin, message: str) -> Exception:
    return refuse("too-little-data", message, origin.span)


def _ordered(opened: Opened, source: DataSource, chosen: Tensor) -> Items:
    """Return the items that are trained on, in the order in which they are drawn."""
    items, loading = opened.items(chosen), source.loading
    if not loading.shuffle:
        return Unshuffled(items)
    if loading.weights is None:
        return items
    weights = class_weights(opened.values(loading.weights)[chosen.numpy()])
    if not bool(((weights >= 0) & weights.isfinite()).all()) or not float(weights.sum()) > 0:
        message = f"`{loading.weights.array}` has weights that are negative, or no numbers, or all 0"
        raise refuse("bad-weights", message, loading.weights.span)
    return Weighted(items, weights)


# Text.


def _text(reading: Reading) -> Splits:
    """Return windows of a text; its characters are numbered in the order of their code points."""
    source = reading.source
    assert source.context is not None
    text = _read_text(reading, source.origin)
    held = {"test": source.test, "validation": source.validation}
    apart = {n: _read_text(reading, place) for n, place in held.items() if isinstance(place, Origin)}
    numbers = _numbered(text)
    parts: dict[str, Tensor] = {}
    known = dict(zip(text, numbers.tolist(), strict=True)) if apart else {}
    for name, share in held.items():
        if isinstance(share, float):
            count = round(len(text) * share)
            numbers, parts[name] = numbers[: len(numbers) - count], numbers[len(numbers) - count :]
        elif isinstance(share, Origin):
            parts[name] = _as_known(apart[name], known, share)
    windows = {name: _windows(part, source) for name, part in {"train": numbers, **parts}.items()}
    train = windows["train"] if source.loading.shuffle else Unshuffled(windows["train"])
    characters = {character: number for number, character in enumerate(sorted(set(text)))}
    return Splits(
        train, windows.get("test"), windows.get("validation"), dict.fromkeys(TEXT_ARRAYS, characters)
    )


def _windows(numbers: Tensor, source: DataSource) -> Windows:
    assert source.context is not None
    shifts = {name: int(field.array == NEXT_CHARACTERS) for name, field in source.fields.items()}
    windows = Windows(numbers, source.context, shifts)
    if len(windows) < 1:
        message = f"a split has fewer than two windows of {source.context} characters"
        raise refuse("too-little-data", message, source.span)
    return windows


def _read_text(reading: Reading, origin: Origin) -> str:
    assert origin.path is not None
    named = Named(origin.path, origin.span)
    with open_bounded(named, reading.folders, reading.limit) as file:
        try:
            text = file.read(reading.limit).decode("utf-8")  # no more, should it grow
        except UnicodeDecodeError as error:
            raise named.broken(f"is no text in UTF-8, from byte {error.start:,} on: {error.reason}") from None
        except OSError as error:
            raise named.broken(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _numbered(text: str) -> Tensor:
    """Return the characters of a text as numbers, from 0 in the order of those code points that it has."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    there = np.zeros(sys.maxunicode + 1, dtype=bool)
    there[points] = True
    return torch.from_numpy((np.cumsum(there) - 1)[points])


def _as_known(text: str, known: dict[str, int], origin: Origin) -> Tensor:
    """Return the characters of another text with the numbers that they have in the text that is trained on."""
    new = next((character for character in text if character not in known), None)
    if new is not None:
        message = f"`{origin.path}` has the character {new!r}, which the text that is trained on has not"
        raise refuse("data-broken", message, origin.span)
    return torch.tensor([known[character] for character in text], dtype=torch.int64)


# What the model takes.


def check_inputs(artifact: Artifact, fields: Mapping[str, FieldSource], batch: Batch) -> None:
    """Refuse a batch whose dtypes and shapes are not those of the model's inputs."""
    check_forms(artifact, fields, {name: (each.dtype, tuple(each.shape)) for name, each in batch.items()})


Sizes: TypeAlias = "tuple[int | None, ...]"


def check_forms(
    artifact: Artifact,
    fields: Mapping[str, FieldSource],
    forms: Mapping[str, tuple[torch.dtype | None, Sizes]],
) -> None:
    """Refuse dtypes and shapes of a batch that are not those of the model's inputs. None is not known, and fits."""
    names: dict[str, object] = dict(artifact.program.scope.variables)
    for entry in artifact.program.inputs:
        (dtype, sizes), expected = forms[entry.name], artifact.inferred.inputs[entry.name]
        field = fields[entry.name]
        fits = len(entry.type.dimensions) == len(sizes) and all(
            size is None or _size_fits(dimension, size, names)
            for dimension, size in zip(entry.type.dimensions, sizes, strict=True)
        )
        if dtype not in (None, expected.dtype) or not fits:
            shown = ", ".join("?" if size is None else str(size) for size in sizes)
            raise refuse(
                "data-shape",
                f"a batch of `{field.array}` is {_dtype_text(dtype)}[{shown}]",
                field.span,
                labels=(Label(entry.type.dimensions[0].place, f"`{entry.name}` is declared here"),)
                if entry.type.dimensions
                else (),
                notes=(f"the model takes {entry.type}",),
                help=_conversion(entry.name, expected.dtype) if dtype not in (None, expected.dtype) else None,
            )


def _dtype_text(dtype: torch.dtype | None) -> str:
    return "" if dtype is None else str(dtype).removeprefix("torch.")


CONVERSIONS = {torch.float32: "float", torch.float64: "double", torch.float16: "half", torch.int64: "long"}
"""The methods of tensors that convert to a dtype."""


def _conversion(field: str, dtype: torch.dtype) -> str | None:
    """Return how a field gets another dtype."""
    method, name = CONVERSIONS.get(dtype), str(dtype).removeprefix("torch.")
    if method is None:
        return None
    program = f"{{'{field}': {field}.{method}()}}"
    return f"convert it: `transform: \"{program}\"`, or save it so: `array.astype('{name}')`"


def _size_fits(dimension: Any, size: int, names: dict[str, object]) -> bool:
    """Return whether a size is the declared one; the first size that a symbolic dimension meets is its own."""
    if isinstance(dimension.tree, ast.Name):
        return bool(names.setdefault(dimension.tree.id, size) == size)
    if free_names(dimension) - names.keys():
        return True
    return bool(evaluate(dimension, names) == size)
