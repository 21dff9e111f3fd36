"""`test-layer`: the properties that a layer is expected to have, tried on examples of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from compiler.cli.console import err, out, say, status, table
from compiler.cli.options import OutputFormat
from compiler.cli.outcome import Format, Status, UsageProblem
from spec_schema.shown import shown

if TYPE_CHECKING:
    from runtime.testing.outcome import Verdict
    from runtime.testing.subject import Subject

STYLES = {"holds": "green", "FAILS": "bold red", "follows": "red"}

Layers = Annotated[
    list[str],
    typer.Argument(
        metavar="LAYER...",
        show_default=False,
        help="`file.py:Layer`, a class as it is; `file.py`, all layers that it registers; or `Linear`, one of torch.",
    ),
]
Examples = Annotated[int, typer.Option(metavar="N", min=1, help="Try each property on so many examples.")]
ExampleSeed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", show_default=False, help="Draw other examples. [default: the same each time]"
    ),
]
CaseFile = Annotated[
    Path | None,
    typer.Option(
        "--case",
        metavar="FILE",
        show_default=False,
        help="Write the smallest example that breaks the first failing property to a spec.",
    ),
]


def test_layer(
    layer: Layers,
    examples: Examples = 30,
    seed: ExampleSeed = None,
    case: CaseFile = None,
    format: OutputFormat = Format.text,
) -> int:
    """Try what every layer should do on random examples of one.

    Arguments and inputs are drawn from its signature and its hints. For a property that fails, the smallest example
    is shown as a spec.
    """
    with status("reading the layers"):
        from runtime.testing.report import as_json, passed
        from runtime.testing.subject import HintError, subjects_at

        try:
            subjects = [subject for reference in layer for subject in subjects_at(reference)]
            found = [(subject, list(_verdicts(subject, examples, seed))) for subject in subjects]
        except HintError as error:
            message, *help = str(error).split("\n")
            raise UsageProblem(message, *help) from None
    match format:
        case Format.json:
            print(json.dumps([as_json(subject, verdicts) for subject, verdicts in found], indent=2))
        case Format.short:
            for subject, verdicts in found:
                for each in verdicts:
                    say(f"{subject.layer.name} {each.property.name} {each.result.name}")
        case Format.text:
            for subject, verdicts in found:
                print_verdicts(subject, verdicts)
    if case is not None:
        _write_case(case, [each for _, verdicts in found for each in verdicts])
    return Status.FINE if all(passed(verdicts) for _, verdicts in found) else Status.REFUSED


def _verdicts(subject: Subject, examples: int, seed: int | None) -> Iterator[Verdict]:
    """Yield the verdicts on a layer, and show on a terminal what is tried."""
    from runtime.testing.check import check_layer

    console = err()
    with console.status("") as line:
        for verdict in check_layer(subject, examples, seed):
            line.update(f"testing {subject.layer.name}: {verdict.property.name}")
            yield verdict


def print_verdicts(subject: Subject, verdicts: list[Verdict]) -> None:
    """Print a row for each property of a layer, and below what breaks it."""
    from runtime.testing.report import failure_lines

    console = out()
    rows = table(subject.layer.name, "", "examples", "promise", numbers=["examples"], spare=["examples"])
    for each in verdicts:
        result = Text(each.result.value, STYLES.get(each.result.value, "dim"))
        count = str(each.examples) if each.examples and each.case is None else ""
        rows.add_row(each.property.name, result, count, each.reason or each.property.promise)
    console.print(rows)
    console.print()
    for each in verdicts:
        if each.failure is not None:
            console.print("\n".join(map(shown, failure_lines(each))), soft_wrap=True)
            console.print()


def _write_case(path: Path, verdicts: list[Verdict]) -> None:
    broken = next((each.case for each in verdicts if each.case is not None), None)
    if broken is not None:
        path.write_text(broken.spec(), encoding="utf-8")
