"""Columns of Arrow tables as tensors: numbers as they are, lists of equal lengths as dimensions, text as it is."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span

Values: TypeAlias = "np.ndarray[Any, Any]"
BYTES = "bytes"
"""What datasets calls the bytes of a file in a cell."""


def column_values(column: Any, name: str, place: Span, start: int = 0) -> Values | Tensor:
    """Return a column as a tensor, or one of text as an array of texts. `start` is the number of its first row.

    Raises:
        SpecError: a row is empty, or has another length than the first; or no tensor holds such values.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not len(array):
        return torch.empty(0)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count:
        raise _empty(array, name, place, start)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return np.asarray(array.to_pylist(), dtype=object)
    lengths = []
    while _is_list(array.type):
        lengths.append(_length(array, name, place, start))
        array = array.flatten()
        if array.null_count:
            raise refuse("data-broken", f"a row of `{name}` has a value that is empty", place)
    if not _is_number(array.type):
        raise refuse("data-broken", f"the column `{name}` is {array.type}, which no tensor holds", place)
    numbers = array.to_numpy(zero_copy_only=False)
    flat = torch.from_numpy(numbers if numbers.flags.writeable else numbers.copy())
    return flat.reshape(len(column), *lengths)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _empty(array: Any, name: str, place: Span, start: int) -> SpecError:
    row = start + pc.index(array.is_null(), True).as_py()
    notes = ("rows are counted from 0", "in CSV `nan` and `null` are empty, too")
    return refuse("data-broken", f"`{name}` is empty in row {row:,}", place, notes=notes)


def _length(array: Any, name: str, place: Span, start: int) -> int:
    """Return how many values each row of a column of lists has."""
    if pa.types.is_fixed_size_list(array.type):
        return int(array.type.list_size)
    lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
    other = np.flatnonzero(lengths != lengths[0])
    if len(other):
        row = int(other[0])
        raise refuse(
            "data-ragged",
            f"row {start + row:,} of `{name}` has {lengths[row]} values, and row {start:,} has {lengths[0]}",
            place,
            notes=("rows are counted from 0",),
        )
    return int(lengths[0])


def column_form(kind: Any) -> tuple[torch.dtype | str, tuple[int | None, ...]]:
    """Return the dtype of a column of this type, and the sizes of a row; None is one that its values alone tell.

    Text is numbered. A text in the place of a dtype is a type that no tensor has.
    """
    if has_images(kind):
        return torch.uint8, (3, None, None)
    if pa.types.is_dictionary(kind):
        return column_form(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return torch.int64, ()
    if _is_list(kind):
        inner, sizes = column_form(kind.value_type)
        length = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        return inner, (length, *sizes)
    if not _is_number(kind):
        return str(kind), ()
    return torch.from_numpy(np.empty(0, kind.to_pandas_dtype())).dtype, ()


def has_images(kind: Any) -> bool:
    """Return whether a column holds files, in the form that datasets gives to images."""
    return bool(pa.types.is_struct(kind)) and kind.get_field_index(BYTES) >= 0
