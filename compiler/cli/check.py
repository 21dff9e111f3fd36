"""`check`: say what is wrong with specs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compiler.catalogue.plugins import load_plugin
from compiler.cli.answers.record import spoil
from compiler.cli.console import err, out
from compiler.cli.options import DataLimit, DataPaths, ImportPaths, OutputFormat, Plugins, Preset, Settings
from compiler.cli.outcome import Format, Status, counted, is_bug, print_diagnostics, report, spoil_if_unsure
from compiler.cli.subject import Subject
from compiler.extras import TRAIN
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.folders import Folders
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_json
from spec_schema.source import Span

if TYPE_CHECKING:
    from compiler.artifact import Artifact

Specs = Annotated[
    list[Path], typer.Argument(metavar="SPEC...", show_default=False, help="The specs to check.")
]
NoFiles = Annotated[
    bool, typer.Option("--no-files", help="Open no data and no checkpoints, only the specs themselves.")
]
Finding = dict[str, Any]
"""A diagnostic as JSON, with the spec that was checked."""


def check(
    specs: Specs,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    data_path: DataPaths = None,
    data_limit: DataLimit = None,
    no_files: NoFiles = False,
    format: OutputFormat = Format.text,
) -> int:
    """Say everything that is wrong with specs.

    Shapes, arguments and rules are checked as for a run, and nothing is built. Of data and checkpoints that are
    there, the headers are read. Diagnostics go to standard error; as JSON they are one list on standard output,
    empty if all is well.
    """
    plugins = [load_plugin(each) for each in plugin or ()]
    subject = Subject(Path(), set_, preset, plugins, import_path)
    subject.variables()
    findings: list[Finding] = []
    files = None if no_files else Files(tuple(data_path or ()), data_limit or DEFAULT_LIMITS.data_bytes)
    statuses = [_check(replace(subject, path=path), files, format, findings) for path in specs]
    if format is Format.json:
        print(json.dumps(findings, indent=2))
    elif format is Format.text:
        out().print(verdict(statuses), soft_wrap=True)
    return max(statuses)


@dataclass(frozen=True)
class Files:
    """How the files that a spec names are looked for."""

    data_paths: tuple[Path, ...]
    data_limit: int


def _check(subject: Subject, files: Files | None, format: Format, findings: list[Finding]) -> int:
    """Check one spec and return its status; its diagnostics are printed, or added to `findings`."""
    try:
        artifact = subject.artifact()
        _note_unchecked(artifact)
        if files is not None and not subject.is_model:
            _check_files(artifact, subject.folder, files)
    except SpecError as error:
        spoil_if_unsure(error)
        if format is Format.json:
            found = json.loads(render_json(error.diagnostics))
            findings.extend({"spec": str(subject.path), **each} for each in found)
        else:
            print_diagnostics(error.diagnostics)
        _separate(format)
        return Status.REFUSED
    except Exception as error:
        if is_bug(error):
            raise
        status = report(error)
        _separate(format)
        return status
    return Status.FINE


def _check_files(artifact: Artifact, folder: Path, files: Files) -> None:
    """Hold the headers of data and checkpoints against the spec. What is not there yet is told on standard error.

    Raises:
        SpecError: with everything that does not fit.
    """
    from compiler.checkpoint_mapping.uses import checkpoint_uses

    notes: list[tuple[Span, str]] = []
    problems: list[Diagnostic] = []
    if checkpoint_uses(artifact):
        spoil()
        from runtime.checkpoint_mapping.loading import check_headers

        try:
            notes += [
                (call.path_place, _absent(call.path, error.help))
                for call, error in check_headers(artifact, folder)
            ]
        except SpecError as error:
            problems += error.diagnostics
    if artifact.training is not None:
        spoil()
        from runtime.training.checked import check_data

        try:
            folders = Folders(folder, files.data_paths)
            found = check_data(artifact, artifact.training, folders, files.data_limit)
            notes += [(each.place, each.why) for each in found]
        except SpecError as error:
            problems += error.diagnostics
    if problems:
        raise SpecError(problems)
    for place, text in notes:
        err().print(f"note: {place}: {text}", soft_wrap=True, markup=False)


def _absent(path: str, help: str | None) -> str:
    return f"`{path}` is not there yet{f'; {help}' if help else ''}"


def _note_unchecked(artifact: Artifact) -> None:
    """Tell on standard error that metrics were not looked up, where what has them is not installed."""
    train, problem = artifact.program.train, TRAIN.problem()
    if problem is not None and train is not None and train.metrics:
        err().print(
            f"note: metrics are not checked: {problem}: {TRAIN.command}", soft_wrap=True, markup=False
        )


def _separate(format: Format) -> None:
    if format is Format.text:
        print(file=sys.stderr)


def verdict(statuses: Sequence[int]) -> str:
    """Return the last line: how many specs there were, and what came of them."""
    specs = f"{len(statuses)} spec{'' if len(statuses) == 1 else 's'}"
    return ", ".join([specs, *(counted(statuses) or ["fine"])])
