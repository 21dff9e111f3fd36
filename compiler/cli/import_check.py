"""`import --check`: how much of a library of models can be imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from compiler.cli.console import err, say
from compiler.cli.outcome import Status, UsageProblem
from spec_schema.shown import shown
from spec_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from runtime.importing.survey.trials import Outcome


@dataclass(frozen=True)
class Check:
    """What is asked of a survey."""

    libraries: list[str]
    sample: int | None
    seed: int
    jobs: int
    seconds: int
    gigabytes: float
    parameters: int
    results: Path
    output: Path | None


def check_libraries(asked: Check) -> int:
    """Import the models of libraries, each in a process of its own, and write the table."""
    from runtime.importing.survey.models import models_of, sampled, titled
    from runtime.importing.survey.report import put_into, report
    from runtime.importing.survey.trials import Limits, survey

    limits = Limits(asked.seconds, asked.gigabytes, asked.parameters)
    every = {each: models_of(_known(each)) for each in asked.libraries}
    found: dict[str, list[Outcome]] = {}
    for name, sources in every.items():
        chosen = sampled(sources, asked.sample, asked.seed)
        with _progress(name, len(chosen)) as advance:
            results = asked.results / f"{name}.jsonl"
            found[titled(name)] = survey(chosen, results, limits, asked.jobs, advance)
    table = report(found, {titled(name): len(sources) for name, sources in every.items()})
    if asked.output is None:
        say(*table.splitlines())
    else:
        put_into(asked.output, table)
        err().print(shown(f"wrote the table into {asked.output}"), soft_wrap=True)
    return Status.FINE


def _known(name: str) -> str:
    from runtime.importing.survey.models import LISTS

    if name not in LISTS:
        near = did_you_mean(name, LISTS)
        raise UsageProblem(
            f"`{name}` is no library that is known here",
            f"did you mean `{near}`?" if near else f"known are {', '.join(LISTS)}",
        )
    return name


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[Outcome], None]]:
    """Show how far a survey is: a line for each model, and a bar below on a terminal."""
    console = err()
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)

        def advance(found: Outcome) -> None:
            progress.advance(task)
            console.print(shown(_line(found)), soft_wrap=True)

        yield advance


def _line(found: dict[str, Any]) -> str:
    took = f"  {found['seconds']} s" if "seconds" in found else ""
    why = f"  {found['reason']}" if found.get("reason") else ""
    return f"{found['source']}  {found['status']}{took}{why}"
