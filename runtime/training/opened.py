"""Sources of data that are open: arrays in memory or in a mapped file, tables read by rows, and map-style data sets."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from compiler.training.calls import Making
from compiler.training.source import DataSource, FieldSource, unknown_array
from runtime.training.items import Batch, Items, Rows, Samples, TableRows
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.folders import Folders
from spec_schema.source import Span

FROM_ZERO = ("rows are counted from 0",)


@dataclass(frozen=True)
class Reading:
    """What the sources of one training are read with."""

    source: DataSource
    folders: Folders
    limit: int
    dtypes: Mapping[str, torch.dtype]
    """Those of the model's inputs."""
    seed: int = 0
    texts: dict[str, dict[str, int]] = field(default_factory=dict)
    """The numbers of the texts of an array, from the training split on."""

    def numbered(self, values: Any, name: str, place: Span) -> Any:
        """Return texts as the numbers that those of the training split have in alphabetical order."""
        if not (isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1):
            return values
        if not all(isinstance(each, str) for each in values):
            return values
        numbers = self.texts.setdefault(name, {text: at for at, text in enumerate(sorted(set(values)))})
        new = next((text for text in values if text not in numbers), None)
        if new is not None:
            raise refuse(
                "data-broken", f"`{name}` is {new!r} in a row, and in none that is trained on", place
            )
        return torch.tensor([numbers[text] for text in values], dtype=torch.int64)

    @property
    def targets(self) -> dict[str, FieldSource]:
        """The fields that the model does not take: what the loss compares."""
        return {name: each for name, each in self.source.fields.items() if name not in self.dtypes}


class Opened(Protocol):
    """A source that is open."""

    def __len__(self) -> int:
        """Return the number of its rows."""

    def values(self, wanted: FieldSource) -> np.ndarray[Any, Any]:
        """Return one value for each row."""

    def items(self, chosen: Tensor) -> Items:
        """Return the items of some rows."""


def put_together(found: Mapping[str, Any], wanted: FieldSource) -> Any:
    """Return the value of a field: its array, or the columns that it lists side by side."""
    if not wanted.columns:
        return found[wanted.array]
    columns = [torch.as_tensor(found[name]) for name in wanted.columns]
    if any(column.ndim != columns[0].ndim or column.shape != columns[0].shape for column in columns):
        raise refuse("data-broken", f"the columns {wanted.array} have different shapes", wanted.span)
    return torch.stack([column.to(_common(columns)) for column in columns], dim=-1)


def _common(columns: list[Tensor]) -> torch.dtype:
    dtype = columns[0].dtype
    for column in columns[1:]:
        dtype = torch.promote_types(dtype, column.dtype)
    return dtype


def check_names(wanted: Mapping[str, FieldSource], known: tuple[str, ...], owner: str) -> None:
    """Refuse a field whose array the source does not have."""
    for each in wanted.values():
        for name in each.names:
            if name not in known:
                raise SpecError([unknown_array(name, each.span, known, owner)])


def check_numbers(batch: Batch, targets: Mapping[str, FieldSource], rows: Tensor | None = None) -> None:
    """Refuse targets that are NaN."""
    for name, each in targets.items():
        tensor = batch[name]
        if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
            continue
        bad = tensor.isnan()
        if bad.any():
            row = int(bad.reshape(len(tensor), -1).any(1).nonzero()[0])
            shown = row if rows is None else int(rows[row])
            raise refuse(
                "data-nan", f"`{each.array}` is not a number in row {shown:,}", each.span, notes=FROM_ZERO
            )


# Arrays.


class Arrays:
    """Arrays of equal length. Those of text are numbered, in the order of the texts of the training split."""

    def __init__(self, reading: Reading, found: Mapping[str, Any], owner: str, from_text: bool) -> None:
        source = reading.source
        check_names(source.fields, tuple(found), owner)
        self.found, self.owner, self.place = found, owner, source.span
        self.fields = {
            name: self._tensor(reading, name, each, from_text) for name, each in source.fields.items()
        }
        lengths = {name: len(array) for name, array in self.fields.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"`{source.fields[name].array}` {length}" for name, length in lengths.items())
            raise refuse("data-lengths", "the arrays have different lengths", source.span, notes=(listed,))
        self.length = next(iter(lengths.values()), 0)
        small = {n: each for n, each in reading.targets.items() if self.fields[n].nbytes <= reading.limit}
        check_numbers(self.fields, small)

    def _tensor(self, reading: Reading, name: str, wanted: FieldSource, from_text: bool) -> Tensor:
        values = {each: self._array(reading, each, wanted.span) for each in wanted.names}
        tensor: Tensor = put_together(values, wanted)
        meant = reading.dtypes.get(name, torch.float32)
        if from_text and (tensor.is_floating_point() or (name in reading.dtypes and meant.is_floating_point)):
            return tensor.to(meant if meant.is_floating_point else torch.float32)
        return tensor

    def _array(self, reading: Reading, name: str, place: Span) -> Tensor:
        values = reading.numbered(self.found[name], name, place)
        try:
            tensor = torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError):
            dtype = getattr(values, "dtype", type(values).__name__)
            message = f"the array `{name}` is {dtype}, which no tensor holds"
            raise refuse("data-broken", message, place) from None
        if not tensor.ndim:
            raise refuse("data-broken", f"the array `{name}` is a single number", place)
        return tensor

    def __len__(self) -> int:
        return self.length

    def values(self, wanted: FieldSource) -> np.ndarray[Any, Any]:
        check_names({"": wanted}, tuple(self.found), self.owner)
        return one_in_a_row(self.found[wanted.array], wanted, len(self))

    def items(self, chosen: Tensor) -> Items:
        return Rows(self.fields, chosen)


def one_in_a_row(values: Any, wanted: FieldSource, length: int) -> np.ndarray[Any, Any]:
    """Return values by which rows are told apart: one for each row, of whatever kind."""
    array = values.numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != length:
        shape = list(array.shape)
        message = f"`{wanted.array}` has the shape {shape}, and {length:,} rows need one value each"
        raise refuse("data-lengths", message, wanted.span)
    return array


# Tables that are read by rows.


class TableReader:
    """A table larger than may be read at once."""

    def __init__(self, reading: Reading, table: Any, owner: str) -> None:
        self.reading, self.table, self.owner = reading, table, owner
        check_names(reading.source.fields, table.names, owner)

    def __len__(self) -> int:
        return len(self.table)

    def values(self, wanted: FieldSource) -> np.ndarray[Any, Any]:
        from runtime.training.columns import column_values

        check_names({"": wanted}, self.table.names, self.owner)
        found = self.table.take(torch.arange(len(self)), [wanted.array])[wanted.array]
        return one_in_a_row(column_values(found, wanted.array, wanted.span), wanted, len(self))

    def items(self, chosen: Tensor) -> Items:
        return TableRows(self.read, self.table.shuffled, chosen)

    def read(self, rows: Tensor) -> Batch:
        """Return a batch of some rows."""
        from runtime.training.columns import column_values

        fields = self.reading.source.fields
        names = {name: each.span for each in fields.values() for name in each.names}
        found = self.table.take(rows, names)
        values = {name: column_values(found[name], name, names[name]) for name in names}
        for name, value in values.items():
            if not isinstance(value, Tensor):
                message = f"`{name}` is text, which is numbered only where all of it may be read"
                raise refuse("data-broken", message, names[name], help="write numbers in its place")
        batch = {name: put_together(values, each) for name, each in fields.items()}
        check_numbers(batch, self.reading.targets, rows)
        return batch


# Data sets.


class SampleReader:
    """A map-style data set, of a plugin or of the images of a folder."""

    def __init__(self, reading: Reading, dataset: Any, making: Making | None, names: tuple[str, ...]) -> None:
        self.reading, self.dataset, self.making = reading, dataset, making
        self.names = names
        if len(self) and making is not None:
            first = self._sample(0, ())
            known = tuple(map(str, first)) if isinstance(first, Mapping) else ()
            check_names(reading.source.fields, known, "a sample of the data set")
        elif making is None:
            check_names(reading.source.fields, names, f"`{reading.source.origin.path}`")

    def __len__(self) -> int:
        try:
            return len(self.dataset)
        except Exception as error:
            assert self.making is not None
            raise failed(self.making, "", error) from error

    def values(self, wanted: FieldSource) -> np.ndarray[Any, Any]:
        if self.making is None:
            check_names({"": wanted}, self.names, f"`{self.reading.source.origin.path}`")
        if self.making is None and hasattr(self.dataset, "values"):
            return one_in_a_row(self.dataset.values(wanted.array), wanted, len(self))
        values = [self._sample(index, (wanted.array,)).get(wanted.array) for index in range(len(self))]
        if any(value is None for value in values):
            raise SpecError([unknown_array(wanted.array, wanted.span, (), "a sample of the data set")])
        try:
            return one_in_a_row(
                [value.item() if isinstance(value, Tensor) else value for value in values], wanted, len(self)
            )
        except (ValueError, RuntimeError):
            message = f"`{wanted.array}` of a sample is not one value"
            raise refuse("data-lengths", message, wanted.span) from None

    def items(self, chosen: Tensor) -> Items:
        order = getattr(self.dataset, "shuffled", None) if self.making is None else None
        return Samples(self.read, self.reading.source.fields, chosen, order)

    def read(self, index: int) -> Batch:
        """Return the fields of one item."""
        fields = self.reading.source.fields
        names = tuple(dict.fromkeys(name for each in fields.values() for name in each.names))
        sample = self._sample(index, names)
        known = tuple(map(str, sample)) if isinstance(sample, Mapping) else ()
        check_names(fields, known, "a sample of the data set")
        values = {name: put_together(sample, each) for name, each in fields.items()}
        targets = {
            name: each
            for name, each in self.reading.targets.items()
            if isinstance(values[name], Tensor | float | np.ndarray | np.floating)
        }
        check_numbers(
            {name: torch.as_tensor(values[name])[None] for name in targets}, targets, torch.tensor([index])
        )
        return values

    def _sample(self, index: int, names: tuple[str, ...]) -> Any:
        if self.making is None:
            return self.dataset.item(index, names)
        try:
            return self.dataset[index]
        except Exception as error:
            raise failed(self.making, f"item {index} of ", error) from error


def failed(making: Making, what: str, error: Exception) -> SpecError:
    """Return the refusal of a plugin's data set that raised an error, with its file and line."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    notes: tuple[str, ...] = ()
    if frames:
        own = [frame for frame in frames if frame.filename == frames[0].filename]
        notes = (f"at {own[-1].filename}:{own[-1].lineno}",)
    message = f"{what}the data set `{making.name}` failed: {type(error).__name__}: {error}"
    return refuse("bad-dataset", message, making.span, notes=notes)
