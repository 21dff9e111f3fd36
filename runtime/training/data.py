"""Opens the data of a training, splits it, and holds it against what the model takes."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch
from numpy.lib.format import MAGIC_PREFIX
from torch import Tensor

from compiler.artifact import Artifact
from compiler.resolve.values import free_names
from compiler.training.section import Training
from compiler.training.source import NEXT_CHARACTERS, DataSource, unknown_array
from runtime.training.arrays import TooLargeError, read_arrays
from runtime.training.items import Batch, Items, Rows, Samples, Windows
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.folders import Folders, NoFileError, OutsideError, open_file
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.source import Span

SPLIT_SEED = 0
"""The split is the same for every training seed, or their results could not be compared."""
UNREADABLE = (ValueError, OSError, EOFError, BadZipFile, ZlibError, NotImplementedError)
"""What the readers of zip files and of arrays raise."""


@dataclass(frozen=True)
class Splits:
    """What is trained on, and what is held back."""

    train: Items
    test: Items | None
    validation: Items | None = None


def open_data(
    artifact: Artifact, training: Training, folders: Folders, limit: int = DEFAULT_LIMITS.data_bytes
) -> Splits:
    """Return the data of a training, which lie in `folders`. No more than `limit` bytes are read.

    Raises:
        SpecError: a file is not there, elsewhere, too large or broken, lacks an array, or does not fit the model.
    """
    source = training.data
    reads = _text if source.kind == "text" else _items
    splits = reads(source, folders, limit)
    check_inputs(artifact, training, splits.train[splits.train.in_order()[: training.batch]])
    return splits


# Files.


def open_source(source: DataSource, folders: Folders, limit: int) -> BinaryIO:
    """Open the file of a source, an ordinary one of no more than `limit` bytes, or refuse it with the reason."""
    assert source.path is not None
    try:
        file = open_file(folders.find(source.path))
    except OutsideError:
        raise _outside(source) from None
    except FileNotFoundError:
        note = "the path is relative to the folder of the spec"
        raise refuse(
            "data-missing", f"there is no file `{source.path}`", source.span, notes=(note,)
        ) from None
    except NoFileError as error:
        raise refuse(
            "data-broken", f"`{source.path}` is {error}, and no ordinary file", source.span
        ) from None
    except OSError as error:
        message = f"`{source.path}` cannot be read: {(error.strerror or type(error).__name__).lower()}"
        raise refuse("data-broken", message, source.span) from None
    if (size := os.fstat(file.fileno()).st_size) > limit:
        file.close()
        raise _too_large(source, f"it takes {size:,} bytes", limit)
    return file


def _outside(source: DataSource) -> SpecError:
    return refuse(
        "data-outside",
        f"`{source.path}` is outside the spec's own folder",
        source.span,
        notes=("a file is where its links lead",),
        help="move it below the folder, or name its folder with `--data-path`",
    )


def _too_large(source: DataSource, what: str, limit: int) -> SpecError:
    return refuse(
        "data-too-large",
        f"`{source.path}` is larger than {limit:,} bytes",
        source.span,
        notes=(what,),
        help="give `--data-limit` a larger number, if there is memory for it",
    )


# Arrays and data sets.


def _items(source: DataSource, folders: Folders, limit: int) -> Splits:
    if source.kind == "file":
        return _rows(source, _read_arrays(source, folders, limit))
    made = _make_dataset(source)
    if isinstance(made, Mapping):
        return _rows(source, made)
    if not (hasattr(made, "__len__") and hasattr(made, "__getitem__")):
        raise refuse(
            "bad-dataset",
            f"the data set is a {type(made).__name__}",
            source.span,
            help="return arrays by name, or an object with `__len__` and `__getitem__`",
        )
    return _samples(source, made)


def _make_dataset(source: DataSource) -> Any:
    making = source.making
    assert making is not None
    try:
        return making.target(**making.arguments)
    except Exception as error:
        message = f"the data set `{making.name}` failed: {type(error).__name__}: {error}"
        raise refuse("bad-dataset", message, making.span) from error


def _read_arrays(source: DataSource, folders: Folders, limit: int) -> dict[str, Any]:
    """Return the arrays of an .npz file; those that no field names are None."""
    with open_source(source, folders, limit) as file:
        if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise refuse("data-broken", f"`{source.path}` holds one array, not arrays by name", source.span)
        try:
            return read_arrays(file, {field.array for field in source.fields.values()}, limit)
        except TooLargeError as error:
            raise _too_large(source, str(error), limit) from None
        except UNREADABLE as error:
            message = f"`{source.path}` is no .npz file of plain arrays: {error}"
            raise refuse("data-broken", message, source.span) from None


def _rows(source: DataSource, found: Mapping[str, Any]) -> Splits:
    owner = f"`{source.path}`" if source.path else "the data set"
    arrays: dict[str, Tensor] = {}
    for name, field in source.fields.items():
        if field.array not in found:
            raise SpecError([unknown_array(field.array, field.span, tuple(found), owner)])
        arrays[name] = _tensor(found[field.array], field.array, field.span)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"`{source.fields[name].array}` {length}" for name, length in lengths.items())
        raise refuse("data-lengths", "the arrays have different lengths", source.span, notes=(listed,))
    places = _split(next(iter(lengths.values())), source)
    return Splits(*(None if each is None else Rows(arrays, each) for each in places))  # type: ignore[arg-type]


def _tensor(array: Any, name: str, place: Span) -> Tensor:
    try:
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError):
        dtype = getattr(array, "dtype", type(array).__name__)
        raise refuse("data-broken", f"the array `{name}` is {dtype}, which no tensor holds", place) from None
    if not tensor.ndim:
        raise refuse("data-broken", f"the array `{name}` is a single number", place)
    return tensor


def _samples(source: DataSource, dataset: Any) -> Splits:
    places = _split(len(dataset), source)
    first = dataset[0]
    for field in source.fields.values():
        if not isinstance(first, Mapping) or field.array not in first:
            known = tuple(map(str, first)) if isinstance(first, Mapping) else ()
            raise SpecError([unknown_array(field.array, field.span, known, "a sample of the data set")])
    arrays = {name: field.array for name, field in source.fields.items()}
    return Splits(*(None if each is None else Samples(dataset, arrays, each) for each in places))  # type: ignore[arg-type]


def _split(count: int, source: DataSource) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the places of the splits for training, test and validation: a random choice that is always the same."""
    # RandomState, because NumPy promises that its numbers never change.
    order = torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(count))
    tested = round(count * (source.test or 0))
    held_back = tested + round(count * (source.validation or 0))
    test = None if source.test is None else _not_empty(order[:tested], source)
    validation = None if source.validation is None else _not_empty(order[tested:held_back], source)
    return _not_empty(order[held_back:], source), test, validation


def _not_empty(places: Tensor, source: DataSource) -> Tensor:
    if not len(places):
        raise refuse("too-little-data", "a split of the data would be empty", source.span)
    return places.sort().values


# Text.


def _text(source: DataSource, folders: Folders, limit: int) -> Splits:
    """Return windows of a text; its characters are numbered in the order of their code points."""
    assert source.context is not None
    numbers = _numbered(_read_text(source, folders, limit))
    tested = round(len(numbers) * (source.test or 0))
    held_back = tested + round(len(numbers) * (source.validation or 0))
    end = len(numbers) - tested
    shifts = {name: int(field.array == NEXT_CHARACTERS) for name, field in source.fields.items()}
    train = numbers[: len(numbers) - held_back]
    test = None if source.test is None else numbers[end:]
    validation = None if source.validation is None else numbers[len(numbers) - held_back : end]
    context = source.context
    windows = [
        None if split is None else Windows(split, context, shifts) for split in (train, test, validation)
    ]
    if any(each is not None and len(each) < 1 for each in windows):
        message = f"a split has fewer than two windows of {source.context} characters"
        raise refuse("too-little-data", message, source.span)
    return Splits(*windows)  # type: ignore[arg-type]


def _read_text(source: DataSource, folders: Folders, limit: int) -> str:
    with open_source(source, folders, limit) as file:
        try:
            text = file.read(limit).decode("utf-8")  # no more, should it grow
        except (UnicodeDecodeError, OSError) as error:
            message = f"`{source.path}` is no text in UTF-8: {error}"
            raise refuse("data-broken", message, source.span) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _numbered(text: str) -> Tensor:
    """Return the characters of a text as numbers, from 0 in the order of those code points that it has."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    there = np.zeros(sys.maxunicode + 1, dtype=bool)
    there[points] = True
    return torch.from_numpy((np.cumsum(there) - 1)[points])


# What the model takes.


def check_inputs(artifact: Artifact, training: Training, batch: Batch) -> None:
    """Refuse a batch whose dtypes and shapes are not those of the model's inputs."""
    names: dict[str, object] = dict(artifact.program.scope.variables)
    for entry in artifact.program.inputs:
        tensor, expected = batch[entry.name], artifact.inferred.inputs[entry.name]
        field = training.data.fields[entry.name]
        fits = len(entry.type.dimensions) == tensor.ndim and all(
            _size_fits(dimension, size, names)
            for dimension, size in zip(entry.type.dimensions, tensor.shape, strict=True)
        )
        if tensor.dtype != expected.dtype or not fits:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise refuse(
                "data-shape",
                f"a batch of `{field.array}` is {dtype}{list(tensor.shape)}",
                field.span,
                labels=(Label(entry.type.dimensions[0].place, f"`{entry.name}` is declared here"),)
                if entry.type.dimensions
                else (),
                notes=(f"the model takes {entry.type}",),
                help=_conversion(tensor.dtype, expected.dtype),
            )


def _conversion(found: torch.dtype, expected: torch.dtype) -> str | None:
    """Return how an array becomes what the model takes, where its dtype alone is another one."""
    if found == expected or found.is_floating_point != expected.is_floating_point:
        return None
    wanted, own = (str(each).removeprefix("torch.") for each in (expected, found))
    return f"save it as {wanted}: `array.astype('{wanted}')`; or declare the input as {own}"


def _size_fits(dimension: Any, size: int, names: dict[str, object]) -> bool:
    """Return whether a size is the declared one; the first size that a symbolic dimension meets is its own."""
    if isinstance(dimension.tree, ast.Name):
        return bool(names.setdefault(dimension.tree.id, size) == size)
    if free_names(dimension) - names.keys():
        return True
    return bool(evaluate(dimension, names) == size)
