"""What data say of themselves: the names, dtypes and shapes of their arrays. Headers are read, and no values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from compiler.training.source import FieldSource, Origin
from runtime.training.arrays import read_headers
from runtime.training.opened import Reading
from runtime.training.places import Named, list_folder, map_named, open_bounded
from runtime.training.sources import (
    mapped,
    members_of,
    need_readers,
    no_images,
    open_csv,
    tensors_of,
    what_is_in,
)
from spec_schema.diagnostics import refuse


@dataclass(frozen=True)
class Form:
    """What is known of an array. None is what its values alone tell."""

    dtype: torch.dtype | str | None
    """A text is what the file calls a dtype that no tensor has."""
    rows: int | None
    sizes: tuple[int | None, ...] = ()
    """Those of one row."""


SINGLE = "a single number"
Forms: TypeAlias = Mapping[str, "Form | None"]
"""The arrays of a source by name; None for those that no field names."""


def forms_of(reading: Reading, origin: Origin) -> Forms:
    """Return what the files of a place say of their arrays.

    Raises:
        SpecError: they are not there, elsewhere, too large or broken.
    """
    assert origin.path is not None
    named = Named(origin.path, origin.span)
    if origin.kind == "folder":
        return _folder(reading, named)
    readers: Mapping[str, Callable[[Reading, Named], Forms]] = {
        ".arrow": lambda reading, named: _arrow(reading, [named]),
        ".csv": _csv,
        ".npy": lambda reading, named: _npy(reading, [named]),
        ".parquet": lambda reading, named: _parquet(reading, [named]),
        ".safetensors": lambda reading, named: _tensors(tensors_of(reading, named)),
    }
    return readers.get(PurePosixPath(named.path).suffix.lower(), _npz)(reading, named)


def _folder(reading: Reading, named: Named) -> Forms:
    kind, files, names = what_is_in(reading, named)
    if kind == "images":
        return _images(reading, named, names)
    return {"arrow": _arrow, "parquet": _parquet, "npy": _npy}[kind](reading, files)


def field_form(forms: Forms, field: FieldSource) -> Form:
    """Return what is known of a field: of its array, or of the columns that it lists side by side.

    Raises:
        SpecError: no tensor holds it.
    """
    found = [_known(forms, name) for name in field.names]
    odd = next((n for n, each in zip(field.names, found, strict=True) if isinstance(each.dtype, str)), None)
    if odd is not None:
        kind = _known(forms, odd).dtype
        why = kind if kind == SINGLE else f"{kind}, which no tensor holds"
        raise refuse("data-broken", f"the array `{odd}` is {why}", field.span)
    if not field.columns:
        return found[0]
    ranks = {len(each.sizes) for each in found}
    if len(ranks) > 1:
        raise refuse("data-broken", f"the columns {field.array} have different shapes", field.span)
    rows = next((each.rows for each in found if each.rows is not None), None)
    return Form(_common([each.dtype for each in found]), rows, (*found[0].sizes, len(found)))


def _known(forms: Forms, name: str) -> Form:
    return forms[name] or Form(None, None)


def _common(dtypes: list[Any]) -> torch.dtype | None:
    if any(dtype is None for dtype in dtypes):
        return None
    found: torch.dtype = dtypes[0]
    for dtype in dtypes[1:]:
        found = torch.promote_types(found, dtype)
    return found


# Arrays.


def _npz(reading: Reading, named: Named) -> Forms:
    found = members_of(reading, named, read_headers)
    return {name: None if each is None else _array(each[0], _dtype(each[1])) for name, each in found.items()}


def _array(shape: tuple[int, ...], dtype: torch.dtype | str) -> Form:
    return Form(dtype, shape[0], shape[1:]) if shape else Form(SINGLE, None)


def _dtype(dtype: Any) -> torch.dtype | str:
    try:
        return torch.from_numpy(np.empty(0, dtype)).dtype
    except TypeError:
        return str(dtype)


def _npy(reading: Reading, files: list[Named]) -> Forms:
    return _tensors({PurePosixPath(each.path).stem: mapped(reading, each) for each in files})


def _tensors(found: Mapping[str, Tensor]) -> Forms:
    return {name: _array(tuple(each.shape), each.dtype) for name, each in found.items()}


# Tables.


def _csv(reading: Reading, named: Named) -> Forms:
    """Return the columns of a CSV file. What their values are, only all of them tell."""
    need_readers(named, "pyarrow")
    from runtime.training.tables import column_names
    from runtime.training.tables import reading as refusing

    with open_csv(reading, named) as file, refusing(named):
        return {name: Form(None, None) for name in column_names(file, named)}


def _parquet(reading: Reading, files: list[Named]) -> Forms:
    need_readers(files[0], "pyarrow")
    from runtime.training.tables import ParquetGroups

    opened = ParquetGroups([(each, map_named(each, reading.folders)) for each in files])
    return _columns(opened.schema, len(opened))


def _arrow(reading: Reading, files: list[Named]) -> Forms:
    need_readers(files[0], "pyarrow")
    from runtime.training.tables import arrow_table

    tables = [arrow_table(each, map_named(each, reading.folders)) for each in files]
    return _columns(tables[0].schema, sum(table.num_rows for table in tables))


def _columns(schema: Any, rows: int) -> Forms:
    from runtime.training.columns import column_form

    return {
        field.name: Form(dtype, rows, sizes) for field in schema for dtype, sizes in [column_form(field.type)]
    }


# Images.


def _images(reading: Reading, named: Named, names: list[str]) -> Forms:
    need_readers(named, "PIL")
    from runtime.training import images

    columns: Forms = {images.FILE_NAME: Form(None, None)}
    if images.METADATA in names:
        columns = _listed(reading, named.inside(images.METADATA))
        rows = None
    else:
        classes = images.class_folders(named, reading.folders)
        folders = [named.inside(name) for name in classes] or [named]
        files = [name for each in folders for name in list_folder(each, reading.folders)]
        rows = sum(name.lower().endswith(images.ENDINGS) for name in files)
        if not rows:
            raise no_images(named)
        columns = {**columns, images.LABEL: Form(torch.int64, rows)} if classes else columns
    return {images.IMAGE: Form(torch.uint8, rows, (images.CHANNELS, None, None)), **columns}


def _listed(reading: Reading, table: Named) -> Forms:
    from runtime.training.images import FILE_NAME

    with open_bounded(table, reading.folders, reading.limit):
        columns = _csv(reading, table)
    if FILE_NAME not in columns:
        raise table.broken(f"has no column `{FILE_NAME}`")
    return columns
