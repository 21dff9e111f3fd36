"""`export`: a model in the formats of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compiler.cli.console import err, out, status
from compiler.cli.options import (
    AllowLarge,
    ExpectDigest,
    ImportPaths,
    OutputFormat,
    Plugins,
    Preset,
    Seed,
    Settings,
    Spec,
)
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.subject import Subject, check_file
from spec_schema.shown import shown

if TYPE_CHECKING:
    from torch import nn

Onnx = Annotated[
    Path | None, typer.Option("--onnx", metavar="FILE", show_default=False, help="Write a file of ONNX.")
]
Fix = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SIZE",
        show_default=False,
        help="Give an open dimension one size, where it cannot stay open. May be given several times.",
    ),
]


def export(
    spec: Spec,
    onnx: Onnx = None,
    fix: Fix = None,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    expect_digest: ExpectDigest = None,
    seed: Seed = 0,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Write a model for other runtimes: ONNX.

    What is written was run beside the model, at several sizes of each open dimension, before it is put in place. Of a
    spec it is the model with its first values, as `--seed` gives them.
    """
    if onnx is None:
        raise UsageProblem("nothing says what to write", "give `--onnx FILE`")
    fixed = _sizes(fix)
    check_file(spec)
    subject = Subject(spec, set_, preset, plugin, import_path, expect_digest)
    _check_targets(spec, onnx)
    model = _model(subject, seed, allow_large)
    _print(_exported(model, onnx, fixed), format)


def _sizes(given: list[str] | None) -> dict[str, int]:
    found = {}
    for text in given or ():
        name, equals, size = text.partition("=")
        if not equals or not name.strip() or not size.strip().isdecimal():
            raise UsageProblem(f"`--fix {text}` gives no size", "write `--fix time=128`")
        found[name.strip()] = int(size)
    return found


def _check_targets(spec: Path, onnx: Path) -> None:
    from compiler.extras import EXPORT
    from runtime.exporting.staging import check_file_target

    EXPORT.require()
    if onnx.exists() and onnx.samefile(spec):
        raise UsageProblem(f"`{onnx}` is what is exported, and would be overwritten", "name another file")
    check_file_target(onnx)


def _model(subject: Subject, seed: int, allow_large: bool) -> nn.Module:
    """Return the model, whole, on the CPU, evaluating."""
    if subject.is_model:
        return subject.model("cpu", allow_large).eval()
    from runtime.build import build

    artifact = subject.artifact()
    with status("building the model"):
        return build(artifact, seed, "cpu", allow_large=allow_large).eval()


def _exported(model: nn.Module, onnx: Path, fixed: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Write what was asked for, and return what is told of each file."""
    from runtime.export import export_onnx

    with status(f"exporting {onnx}"):
        try:
            found = export_onnx(model, onnx, fixed)
        except ValueError as error:  # a dimension that is not there
            raise UsageProblem(str(error)) from None
    return {str(onnx): {"sizes": found.sizes, "difference": found.difference}}


def _print(written: dict[str, dict[str, Any]], format: Format) -> None:
    if format is Format.json:
        print(json.dumps(written, indent=2))
        return
    for path, facts in written.items():
        err().print(shown(f"wrote {path}"), soft_wrap=True)
        sizes = facts.get("sizes", ())
        for each in sizes:
            out().print(shown(f"compared at {each}"), soft_wrap=True)
        out().print(f"largest difference {facts['difference']:.2g}", soft_wrap=True)
