"""Tables of columns: CSV, Parquet, and the Arrow files that `save_to_disk` of datasets writes.

A table whose columns take no more than a training may read is read at once. A larger one is read by rows, from files
that are mapped: any rows of an Arrow file, and the groups of rows of a Parquet file, a few of which are kept.
"""

from __future__ import annotations

import csv
import io
import mmap
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from torch import Tensor

from runtime.training.columns import Values, column_values
from runtime.training.places import Named
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span

READ_AT_ONCE = 1 << 16
"""Rows of a Parquet file that are decoded at once."""
KEPT_GROUPS = 4
"""Groups of rows that are kept while batches are taken from them."""
LONGEST_LINE = 1 << 20
"""Characters of the first line of a CSV file."""
ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, UnicodeDecodeError, OverflowError)
RAGGED = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)")
"""What the reader of CSV says of a row that is too short or too long."""
FIRST_ROW = 2
"""Its number for the row behind that with the names."""
WRITE_PARQUET = "write it as Parquet, which is read in pieces"


class LargeTable(Protocol):
    """A table that is read by rows."""

    names: tuple[str, ...]
    schema: Any

    def __len__(self) -> int:
        """Return the number of rows."""

    def take(self, rows: Tensor, names: Iterable[str]) -> Mapping[str, Any]:
        """Return columns of some rows."""

    def shuffled(self, generator: torch.Generator, chosen: Tensor) -> Tensor:
        """Return the places in `chosen` in a random order, in which rows can be read well."""


@contextmanager
def reading(named: Named) -> Iterator[None]:
    """Refuse a file that the reader refuses."""
    try:
        yield
    except ARROW_ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        if ragged := RAGGED.match(why):
            row, columns, cells = (int(number) for number in ragged.groups())
            raise _ragged(named, row - FIRST_ROW, columns, cells) from None
        raise named.broken(f"cannot be read: {why}") from None


def _ragged(named: Named, row: int, columns: int, cells: int) -> SpecError:
    message = f"row {row:,} of `{named.path}` has {cells:,} cells, and there are {columns:,} columns"
    return refuse("data-ragged", message, named.span, notes=("rows are counted from 0",))


# CSV.


def read_csv(file: BinaryIO, named: Named, wanted: set[str]) -> dict[str, Any]:
    """Return the columns of a CSV file; those that are not wanted are None."""
    with reading(named):
        names = column_names(file, named)
        file.seek(0)
        convert = pa.csv.ConvertOptions(include_columns=[name for name in names if name in wanted])
        if not convert.include_columns:
            return dict.fromkeys(names)
        # One thread: only then does a refusal say which row it is about.
        table = pa.csv.read_csv(file, pa.csv.ReadOptions(use_threads=False), convert_options=convert)
    return {name: table.column(name) if name in wanted else None for name in names}


def column_names(file: BinaryIO, named: Named) -> list[str]:
    """Return the names of the columns of a CSV file, which stand in its first line."""
    line = file.readline(LONGEST_LINE).decode("utf-8-sig")
    names = next(csv.reader(io.StringIO(line)), [])
    if not names:
        raise named.broken("has no first line with the names of its columns")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise named.broken(f"has two columns `{twice}`")
    return names


# Parquet.


class ParquetGroups:
    """Groups of rows of Parquet files, one after the other."""

    def __init__(self, files: Sequence[tuple[Named, mmap.mmap]]) -> None:
        self.files: list[Any] = []
        self.groups: list[tuple[int, int]] = []
        """The file and the number in it of each group."""
        self.starts = [0]
        """The number of the first row of each group, and that behind the last."""
        self.named = [named for named, _ in files]
        for number, (named, memory) in enumerate(files):
            with reading(named):
                opened = pa.parquet.ParquetFile(pa.BufferReader(pa.py_buffer(memory)))
                self.files.append(opened)
                for group in range(opened.metadata.num_row_groups):
                    self.groups.append((number, group))
                    self.starts.append(self.starts[-1] + opened.metadata.row_group(group).num_rows)
        self.schema = self.files[0].schema_arrow
        self.names = tuple(self.schema.names)
        for named, opened in zip(self.named, self.files, strict=True):
            if tuple(opened.schema_arrow.names) != self.names:
                raise named.broken(f"has other columns than `{self.named[0].path}`")
        self._kept: OrderedDict[tuple[int, tuple[str, ...]], Any] = OrderedDict()

    def __len__(self) -> int:
        return self.starts[-1]

    def whole(self, wanted: set[str], limit: int) -> dict[str, Any] | None:
        """Return all of the wanted columns, or None if they take more than `limit` bytes."""
        names = [name for name in self.names if name in wanted]
        tables, size = [], 0
        for named, opened in zip(self.named, self.files, strict=True):
            with reading(named):
                for batch in opened.iter_batches(READ_AT_ONCE, columns=names, use_threads=False):
                    size += batch.nbytes
                    if size > limit:
                        return None
                    tables.append(pa.Table.from_batches([batch]))
        if not tables:
            return {name: pa.array([]) if name in wanted else None for name in self.names}
        whole = pa.concat_tables(tables)
        return {name: whole.column(name) if name in wanted else None for name in self.names}

    def take(self, rows: Tensor, names: Iterable[str]) -> Mapping[str, Any]:
        """Return columns of some rows. They are read group by group, and put in the order asked for."""
        wanted = list(names)
        table = _gathered(rows, self.starts, lambda number: self._group(number, wanted))
        return {name: table.column(name) for name in wanted}

    def _group(self, number: int, names: list[str]) -> Any:
        key = number, tuple(names)
        if key not in self._kept:
            file, group = self.groups[number]
            with reading(self.named[file]):
                self._kept[key] = self.files[file].read_row_group(group, columns=names, use_threads=False)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_GROUPS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def shuffled(self, generator: torch.Generator, chosen: Tensor) -> Tensor:
        """Return the places of `chosen` in a random order: of the groups, and of the rows of a few groups."""
        starts = torch.tensor(self.starts)
        groups = torch.bucketize(chosen, starts, right=True) - 1
        drawn = torch.randperm(len(self.groups), generator=generator)
        # Groups that are drawn one after the other are mixed, as many as are kept.
        place = torch.empty_like(drawn)
        place[drawn] = torch.arange(len(drawn)) // max(KEPT_GROUPS - 1, 1)
        order = torch.randperm(len(chosen), generator=generator)
        return order[torch.argsort(place[groups[order]], stable=True)]


# Arrow.


class ArrowRows:
    """The rows of Arrow files, which are mapped."""

    def __init__(self, files: Sequence[tuple[Named, mmap.mmap]], wanted: set[str]) -> None:
        tables = []
        for named, memory in files:
            table = arrow_table(named, memory)
            with reading(named):
                table.select([name for name in table.column_names if name in wanted]).validate(full=True)
            tables.append(table)
        with reading(files[0][0]):
            self.table = pa.concat_tables(tables)
        self.pieces = [pa.Table.from_batches([batch]) for batch in self.table.to_batches()]
        self.starts = [0, *accumulate(len(piece) for piece in self.pieces)]
        self.schema = self.table.schema
        self.names = tuple(self.table.column_names)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def whole(self, wanted: set[str], limit: int) -> dict[str, Any] | None:
        """Return all of the wanted columns, or None if they take more than `limit` bytes."""
        names = [name for name in self.names if name in wanted]
        if self.table.select(names).nbytes > limit:
            return None
        return {name: self.table.column(name) if name in wanted else None for name in self.names}

    def take(self, rows: Tensor, names: Iterable[str]) -> Mapping[str, Any]:
        """Return columns of some rows."""
        wanted = list(names)
        # Piece by piece: of a column in several, Arrow would make one first, and so read all of it.
        table = _gathered(rows, self.starts, lambda number: self.pieces[number].select(wanted))
        return {name: table.column(name) for name in wanted}

    def shuffled(self, generator: torch.Generator, chosen: Tensor) -> Tensor:
        """Return the places of `chosen` in any random order."""
        return torch.randperm(len(chosen), generator=generator)


def arrow_table(named: Named, memory: mmap.mmap) -> Any:
    """Return the table of an Arrow file. Its values stay in the file, and are not looked at."""
    with reading(named):
        return pa.ipc.open_stream(pa.py_buffer(memory)).read_all()


def _gathered(rows: Tensor, starts: Sequence[int], piece: Callable[[int], Any]) -> Any:
    """Return rows of a table in pieces, in the order asked for. `starts` are the numbers of the first row of each."""
    numbers = np.array([bisect_right(starts, row) - 1 for row in rows.tolist()], dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    parts = []
    for number in np.unique(numbers):
        inside = rows.numpy()[order][numbers[order] == number] - starts[number]
        parts.append(piece(int(number)).take(pa.array(inside)))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.concat_tables(parts).take(pa.array(back))


def values_of(columns: Mapping[str, Any], place: Span) -> dict[str, Values | Tensor | None]:
    """Return the columns of a table as tensors, and those of text as arrays of texts."""
    return {
        name: None if column is None else column_values(column, name, place)
        for name, column in columns.items()
    }
