"""Predictions on disk: arrays in .npz or .safetensors, or a table in .csv or .parquet with a row for each item."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from runtime.files.atomic import write_whole
from spec_schema.diagnostics import refuse


def write_predictions(path: str | Path, values: Mapping[str, Tensor]) -> None:
    """Write predictions in the form that the ending of the path names: all of the file or nothing.

    In a table, an output of a number for each item is a column; one of several is columns with numbers behind its name
    in .csv, and a column of lists in .parquet.

    Raises:
        ValueError: the ending is of another form.
        SpecError: an output does not fit into a table, or what writes one is not installed.
        OSError: the file cannot be written.
    """
    write = WRITERS[ending(path)]
    write_whole(path, lambda file: write(file, values))


def ending(path: str | Path) -> str:
    """Return the ending of a path. ValueError if predictions are not written so."""
    found = Path(path).suffix.lower()
    if found not in WRITERS:
        raise ValueError(f"predictions are written to {', '.join(WRITERS)}, not to `{found or path}`")
    return found


def _npz(file: BinaryIO, values: Mapping[str, Tensor]) -> None:
    np.savez(file, **{name: _array(value) for name, value in values.items()})


def _safetensors(file: BinaryIO, values: Mapping[str, Tensor]) -> None:
    file.write(save({name: value.contiguous() for name, value in values.items()}))


def _csv(file: BinaryIO, values: Mapping[str, Tensor]) -> None:
    columns = dict(pair for name, value in values.items() for pair in _columns(name, value))
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    text.detach()


def _columns(name: str, value: Tensor) -> Iterator[tuple[str, Any]]:
    array = _array(value)
    if array.ndim > 2:
        raise refuse(
            "not-by-row",
            f"`{name}` has {list(array.shape[1:])} numbers for each item, and a table has a row",
            None,
            help="write it to an .npz or .safetensors file",
        )
    if array.ndim == 1:
        yield name, array
    else:
        yield from ((f"{name}_{number}", column) for number, column in enumerate(array.T))


def _parquet(file: BinaryIO, values: Mapping[str, Tensor]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        way = "`pip install pyarrow`, or write a .csv file"
        raise refuse(
            "missing-extra", "pyarrow writes .parquet, and is not installed", None, help=way
        ) from None
    arrays = {name: _array(value) for name, value in values.items()}
    table = pyarrow.table(
        {name: array if array.ndim == 1 else array.tolist() for name, array in arrays.items()}
    )
    pyarrow.parquet.write_table(table, file)


def _array(value: Tensor) -> Any:
    """Return a tensor as an array; NumPy has no bfloat16."""
    return (value.float() if value.dtype is torch.bfloat16 else value).numpy()


WRITERS: Mapping[str, Callable[[BinaryIO, Mapping[str, Tensor]], None]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".csv": _csv,
    ".parquet": _parquet,
}
