"""`emit`: the stand-alone Python source of a model, or what an earlier stage of the compiler has."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compiler import pipeline, printing
from compiler.artifact import Artifact, canonical
from compiler.cli.console import status
from compiler.cli.options import ExpectDigest, ImportPaths, OutputFormat, Plugins, Preset, Settings, Spec
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.run import check_target
from compiler.cli.subject import Subject, check_file
from compiler.cli.text_files import write_output
from compiler.emit.passes.table import NAMES
from compiler.resolve.program import resolve
from spec_schema.clock import timed
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.shown import escape
from spec_schema.suggest import did_you_mean

Stage = StrEnum("Stage", ["load", "resolve", "infer", "rules", "emit"])

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", show_default=False, help="Write to a file, all of it or nothing."
    ),
]
Until = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Stop after a stage of the compiler ({', '.join(Stage)}), or after a pass of code generation "
        f"({', '.join(NAMES)}), and print what it has.",
    ),
]


def emit(
    spec: Spec,
    output: Output = None,
    until: Until = Stage.emit.value,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    expect_digest: ExpectDigest = None,
    format: OutputFormat = Format.text,
) -> None:
    """Print the model as stand-alone Python source.

    The source imports torch and nothing of Blockprint: who outgrows specs goes on with it.
    """
    subject = Subject(spec, set_, preset, plugin, import_path, expect_digest)
    _check_until(until)
    check_file(spec)
    check_target(output, spec)
    text = text_after(until, subject)
    if output is None:
        sys.stdout.write("\n".join(map(_printable, text.split("\n"))))
        return
    write_output(output, text)


def _printable(line: str) -> str:
    """Return a line of a listing that is safe to show. Lines of source and of YAML, which programs read on, are."""
    return line if line.replace("\t", " ").isprintable() else escape(line)


def _check_until(until: str) -> None:
    names = [*Stage, *NAMES]
    if until not in names:
        near = did_you_mean(until, names)
        raise UsageProblem(
            f"`--until {until}` names no stage of the compiler, and no pass of code generation",
            f"did you mean `{near}`?" if near else f"write one of {', '.join(names)}",
        )


def text_after(until: str, subject: Subject) -> str:
    """Return what the compiler has after a stage or a pass, as text; the stages behind it do not run.

    Raises:
        SpecError: the spec is refused at that stage, or before.
    """
    if until in NAMES:
        return subject.artifact().source_after(until)
    stage = Stage(until)
    if stage is Stage.emit or subject.is_model:
        return _of_artifact(stage, subject.artifact())
    with timed(DEFAULT_LIMITS.compile_seconds):
        return _after(stage, subject)


def _after(stage: Stage, subject: Subject) -> str:
    loaded = subject.load()
    if stage is Stage.load:
        return printing.print_document(canonical(loaded))
    program = resolve(loaded, pipeline.registry(subject.plugins or ()))
    if program.passed_over:
        raise SpecError(program.passed_over)
    if stage is Stage.resolve:
        return printing.print_program(program)
    with status("inferring shapes"):
        inferred = pipeline.infer(program, DEFAULT_LIMITS)
        if stage is Stage.infer:
            return printing.print_inferred(inferred)
        return printing.print_plan(pipeline.rules(inferred, DEFAULT_LIMITS))


def _of_artifact(stage: Stage, artifact: Artifact) -> str:
    match stage:
        case Stage.load:
            return printing.print_document(artifact.canonical)
        case Stage.resolve:
            return printing.print_program(artifact.program)
        case Stage.infer:
            return printing.print_inferred(artifact.inferred)
        case Stage.rules:
            return printing.print_plan(artifact.plan)
    return artifact.source
