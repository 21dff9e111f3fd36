"""`params`: the parameters and buffers of a spec or a saved model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from compiler.cli.console import out, say, table
from compiler.cli.explain import dtype_text, form_text
from compiler.cli.options import (
    AllowLarge,
    ExpectDigest,
    ImportPaths,
    OutputFormat,
    Plugins,
    Preset,
    Settings,
    Spec,
)
from compiler.cli.outcome import Format
from compiler.cli.selection import SelectorText, select
from compiler.cli.subject import Subject
from compiler.cli.summary import count_text
from spec_schema.shown import shown

if TYPE_CHECKING:
    from torch import Tensor

    from compiler.artifact import Artifact
    from compiler.rules.plan import PlanRow
    from runtime.statistics import Statistics

FEW = 4
"""Tensors whose values are shown too, if a selector names no more."""
FIGURES = ("mean", "std", "min", "max", "norm")


def params(
    spec: Spec,
    selector: SelectorText = None,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    expect_digest: ExpectDigest = None,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """List parameters and buffers; of a saved model, their values too.

    Of a saved model also the mean, deviation, range and norm of each tensor, and the values themselves where
    a selector names a few.
    """
    artifact, found = _read(Subject(spec, set_, preset, plugin, import_path, expect_digest), allow_large)
    rows = select(artifact, selector)
    tensors = {row.name: found[row.name] for row in rows if found}
    if tensors:  # they may have been cast since the spec was built
        rows = [replace(row, dtype=tensors[row.name].dtype) for row in rows]
    few = selector is not None and len(rows) <= FEW
    if format is Format.json:
        print(json.dumps([as_json(row, tensors.get(row.name), few) for row in rows], indent=2))
    elif format is Format.short:
        for row in rows:
            say(f"{row.name}: {form_text(row)}")
    else:
        print_params(out(), rows, tensors)
        if few:
            print_values(out(), tensors)


def _read(subject: Subject, allow_large: bool) -> tuple[Artifact, Mapping[str, Tensor]]:
    """Return the artifact, and the tensors of a saved model by each of their names."""
    if not subject.is_model:
        return subject.artifact(), {}
    from runtime.classes import artifact_of
    from runtime.named_tensors import named_tensors

    model = subject.model("cpu", allow_large)
    return artifact_of(model), {name: tensor.detach() for name, tensor in named_tensors(model)}


# --- text -----------------------------------------------------------------------------------------------


def print_params(console: Console, rows: list[PlanRow], tensors: Mapping[str, Tensor]) -> None:
    """Print a table of tensors, and their number."""
    from runtime.statistics import statistics

    figures = FIGURES if tensors else ()
    dtypes = sorted({dtype_text(row) for row in rows})
    heading = "shape" if len(dtypes) == 1 else "tensor"
    spare = ("max", "min", "norm", "std", "mean", "kind", heading)
    kinds = _kind_heading(rows)
    listing = table("name", heading, *figures, *kinds, numbers=figures, whole=(heading,), spare=spare)
    for row in rows:
        found = statistics(tensors[row.name]) if tensors else None
        form = str(list(row.shape)) if len(dtypes) == 1 else form_text(row)
        listing.add_row(_names(row), form, *_figures(found), *([_kind(row)] if kinds else []))
    console.print(listing)
    count = sum(row.elements for row in rows if row.kind == "parameter")
    of = f" of {dtypes[0]}" if len(dtypes) == 1 else ""
    console.print(f"\n{count_text(len(rows), 'tensors')}{of}, {count_text(count, 'parameters')}")


def _names(row: PlanRow) -> str:
    return " = ".join(row.names)


def _kind_heading(rows: list[PlanRow]) -> list[str]:
    """Return the heading of a last column, which is there if not all are trained."""
    return [] if all(row.trainable for row in rows) else ["kind"]


def _kind(row: PlanRow) -> str:
    if row.kind == "parameter":
        return "" if row.trainable else "frozen"
    return "buffer" if row.persistent else "buffer, not saved"


def _figures(found: Statistics | None) -> list[str]:
    if found is None:
        return []
    return [f"{value:.3g}" if value is not None else "" for value in asdict(found).values()]


def print_values(console: Console, tensors: Mapping[str, Tensor]) -> None:
    """Print the values of tensors, as torch does."""
    for name, tensor in tensors.items():
        console.print(f"\n{shown(name)} =", style="bold")
        console.print(values_text(tensor, console.width), soft_wrap=True)


def values_text(tensor: Tensor, width: int) -> str:
    """Return the values of a tensor, as torch prints them."""
    import torch

    configure: Any = torch.set_printoptions
    configure(linewidth=width)
    try:
        return str(tensor)
    finally:
        configure(profile="default")


# --- JSON -----------------------------------------------------------------------------------------------


def as_json(row: PlanRow, tensor: Tensor | None, values: bool) -> dict[str, Any]:
    """Return a tensor as plain values, with its statistics if there is a value."""
    from compiler.cli.explain import as_json as row_as_json

    entry = row_as_json(row)
    del entry["decisions"]
    if tensor is not None:
        from runtime.statistics import statistics

        entry["statistics"] = asdict(statistics(tensor))
        if values:
            entry["values"] = _plain_values(tensor)
    return entry


def _plain_values(tensor: Tensor) -> Any:
    """Return nested lists; complex numbers as pairs, and what JSON lacks as text."""
    import torch

    listed = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return _json_number(listed.tolist())


def _json_number(value: Any) -> Any:
    if isinstance(value, list):
        return [_json_number(each) for each in value]
    return value if not isinstance(value, float) or abs(value) < float("inf") else str(value)
