"""The items that a model is evaluated on, or makes predictions of: its test split, or files that the caller names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from compiler.artifact import Artifact
from compiler.training.section import Training
from compiler.training.source import DataSource, FieldSource, Origin
from runtime.training.data import open_data, open_other
from runtime.training.items import Items
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.folders import Folders
from spec_schema.source import SourceFile, Span

ELSEWHERE = frozenset({"data-missing", "data-outside"})
"""Codes of data that are not where they are looked for."""


def split_items(artifact: Artifact, training: Training, folders: Folders, limit: int) -> Items:
    """Return the test split of a model's own data.

    Raises:
        SpecError: there is none, or the data are not there, or not as the spec says.
    """
    try:
        found = open_data(artifact, training, folders, limit).test
    except SpecError as error:
        raise SpecError([_with_way_out(each) for each in error.diagnostics]) from None
    if found is None:
        raise refuse(
            "no-test-split",
            "the data of the model have no test split",
            training.data.span,
            help="name other data with `--data FILE`",
        )
    return found


def _with_way_out(problem: Diagnostic) -> Diagnostic:
    """Return a problem; a saved model may lie far from its data."""
    if problem.code not in ELSEWHERE:
        return problem
    way = "name the folder of the spec with `--data-path`, or other data with `--data`"
    return replace(problem, help=way)


def file_items(
    artifact: Artifact,
    path: Path,
    fields: Mapping[str, FieldSource],
    limit: int,
    batch: int,
    own: Folders | None = None,
) -> Items:
    """Return all rows of a file or folder, with these fields. `own` are the folders of the model's own data.

    Raises:
        SpecError: the file is not there or broken, lacks an array, or does not fit the model.
    """
    place = named(str(path))
    whole = path.absolute()
    origin = Origin("folder" if path.is_dir() else "file", whole.name, None, place)
    training = artifact.training
    source = (
        DataSource(origin, fields, None, None) if training is None else replace(training.data, fields=fields)
    )
    try:
        return open_other(artifact, source, origin, Folders(whole.parent), limit, batch, own)
    except SpecError as error:
        raise SpecError(
            [_with_way_out(each) if each.span != place else each for each in error.diagnostics]
        ) from None


def input_fields(artifact: Artifact, names: Iterable[str]) -> dict[str, FieldSource]:
    """Return where a file has the inputs: in the arrays that the model's own data name, else under their own names."""
    training = artifact.training
    known = training.data.fields if training is not None else {}
    return {name: known.get(name, FieldSource(name, named(name))) for name in names}


def named(text: str) -> Span:
    """Return the place of something that the caller names."""
    return Span(SourceFile(text, text), 0, len(text))
