"""Holds the headers of the data of a training against the spec. No value is read, however large the files are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from compiler.artifact import Artifact
from compiler.training.section import Training
from compiler.training.source import FieldSource, Origin
from runtime.training.data import check_forms
from runtime.training.headers import Form, field_form, forms_of
from runtime.training.opened import Reading, check_names
from runtime.training.places import Named, find, open_bounded
from runtime.training.sources import path_of
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.folders import Folders
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.source import Span


@dataclass(frozen=True)
class Unchecked:
    """What could not be looked at, which is no error."""

    place: Span
    why: str


def check_data(
    artifact: Artifact,
    training: Training,
    folders: Folders,
    limit: int = DEFAULT_LIMITS.data_bytes,
) -> list[Unchecked]:
    """Hold the data of a training that are there against the spec; return what is not there yet.

    Raises:
        SpecError: with each reason why the training would refuse what files say of themselves.
    """
    return _Check(artifact, training, folders, limit).run()


class _Check:
    def __init__(self, artifact: Artifact, training: Training, folders: Folders, limit: int) -> None:
        self.artifact, self.training = artifact, training
        dtypes = {name: tensor.dtype for name, tensor in artifact.inferred.inputs.items()}
        self.reading = Reading(training.data, folders, limit, dtypes)
        self.unchecked: list[Unchecked] = []
        self.problems: list[Diagnostic] = []

    def run(self) -> list[Unchecked]:
        source = self.training.data
        apart = [each for each in (source.test, source.validation) if isinstance(each, Origin)]
        for origin in (source.origin, *apart):
            try:
                self._origin(origin)
            except SpecError as error:
                self.problems += error.diagnostics
        if self.problems:
            raise SpecError(self.problems)
        return self.unchecked

    def _origin(self, origin: Origin) -> None:
        if origin.kind == "dataset":
            self._paths(origin)
        elif self._is_there(origin):
            try:
                self._text(origin) if origin.kind == "text" else self._rows(origin)
            except SpecError as error:
                self._pass_over(error)

    def _pass_over(self, error: SpecError) -> None:
        """Note what cannot be read here, where the reader is not installed."""
        (found,) = error.diagnostics
        if found.code != "missing-extra" or found.span is None:
            raise error
        self.unchecked.append(Unchecked(found.span, f"{found.message}: {found.help}"))

    def _is_there(self, origin: Origin) -> bool:
        assert origin.path is not None
        try:
            find(Named(origin.path, origin.span), self.reading.folders)
        except SpecError as error:
            if error.diagnostics[0].code != "data-missing":
                raise
            self.unchecked.append(Unchecked(origin.span, f"`{origin.path}` is not there yet"))
            return False
        return True

    def _paths(self, origin: Origin) -> None:
        """Look for the files that a plugin's data set is given. It is not made: that would run code."""
        making = origin.making
        assert making is not None
        for path in [making.arguments[name] for name in making.paths if making.arguments[name] is not None]:
            try:
                path_of(self.reading, making, str(path))
            except SpecError as error:
                if error.diagnostics[0].code != "data-missing":
                    raise
                self.unchecked.append(Unchecked(origin.span, f"`{path}` is not there yet"))

    # Text.

    def _text(self, origin: Origin) -> None:
        assert origin.path is not None
        with open_bounded(Named(origin.path, origin.span), self.reading.folders, self.reading.limit) as file:
            if not file.read(1):
                raise refuse("too-little-data", f"`{origin.path}` is empty", origin.span)

    # Rows.

    def _rows(self, origin: Origin) -> None:
        source = self.training.data
        forms, owner = forms_of(self.reading, origin), f"`{origin.path}`"
        own = origin is source.origin
        check_names(self._named(own), tuple(forms), owner)
        found = {name: field_form(forms, each) for name, each in source.fields.items()}
        rows = self._count(found, origin)
        if source.transform is None:
            self._fit(found, self._batch(rows, own))

    def _named(self, own: bool) -> Mapping[str, FieldSource]:
        """Return the arrays that are read; only the data themselves are split and weighted."""
        source = self.training.data
        others = (source.stratify, source.group, source.loading.weights) if own else ()
        return {**source.fields, **{f"({n})": each for n, each in enumerate(others) if each is not None}}

    def _count(self, found: Mapping[str, Form], origin: Origin) -> int | None:
        """Return how many rows there are, if that is known."""
        source = self.training.data
        lengths = {name: each.rows for name, each in found.items() if each.rows is not None}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"`{source.fields[name].array}` {length}" for name, length in lengths.items())
            raise refuse("data-lengths", "the arrays have different lengths", origin.span, notes=(listed,))
        rows = next(iter(lengths.values()), None)
        if rows == 0:
            raise refuse("too-little-data", f"`{origin.path}` has 0 items", origin.span)
        if rows is not None and origin is source.origin and not all(self._parts(rows)):
            raise refuse("too-little-data", "a split of the data would be empty", origin.span)
        return rows

    def _parts(self, rows: int) -> Iterator[int]:
        """Yield how many rows the splits have, that which is trained on last."""
        source = self.training.data
        if source.stratify is not None or source.group is not None:
            return
        held = [round(rows * each) for each in (source.test, source.validation) if isinstance(each, float)]
        yield from held
        yield rows - sum(held)

    def _batch(self, rows: int | None, own: bool) -> int | None:
        """Return how many items the first batch has, if that is known."""
        if rows is None:
            return None
        trained = list(self._parts(rows)) if own else [rows]
        return min(self.training.batch, trained[-1]) if trained else None

    def _fit(self, found: Mapping[str, Form], batch: int | None) -> None:
        known: dict[str, tuple[torch.dtype | None, tuple[int | None, ...]]] = {
            name: (each.dtype if isinstance(each.dtype, torch.dtype) else None, (batch, *each.sizes))
            for name, each in found.items()
        }
        check_forms(self.artifact, self.training.data.fields, known)
