"""Verdicts on layers as a value that JSON can hold, and as the text of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.catalogue.decorators import mark_of
from runtime.testing.outcome import Result, Verdict
from runtime.testing.subject import Subject

SPEC_FILE = "case.yaml"
"""What the printed command calls the spec."""


def as_json(subject: Subject, verdicts: list[Verdict]) -> dict[str, Any]:
    """Return the verdicts on a layer as plain values."""
    return {
        "layer": subject.layer.name,
        "source": subject.layer.source,
        "passed": passed(verdicts),
        "properties": [_verdict(each) for each in verdicts],
    }


def passed(verdicts: list[Verdict]) -> bool:
    """Return whether no property fails."""
    return all(each.result != Result.fails for each in verdicts)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {
        "property": verdict.property.name,
        "promise": verdict.property.promise,
        "result": verdict.result.name,
        "examples": verdict.examples,
    }
    if verdict.reason is not None:
        found["reason"] = verdict.reason
    if verdict.failure is not None and verdict.case is not None:
        failure = {
            "found": verdict.failure.message,
            "cause": verdict.failure.cause,
            "spec": verdict.case.spec(),
        }
        found["failure"] = {**failure, "seed": verdict.case.seed, "run": run_command(verdict)}
    return found


def failure_lines(verdict: Verdict) -> Iterator[str]:
    """Yield the lines that tell of a failure: what was found, why, and the spec that shows it."""
    assert verdict.failure is not None
    assert verdict.case is not None
    name = verdict.case.subject.layer.name
    yield f"{name}: {verdict.property.name} fails: {verdict.property.promise}"
    yield f"  found: {verdict.failure.message}"
    if verdict.failure.cause:
        yield f"  cause: {verdict.failure.cause}"
    yield f"  with:  {verdict.case!r}, seed {verdict.case.seed}"
    yield f"  run:   {run_command(verdict)}"
    yield f"  {SPEC_FILE}:"
    yield from (f"    {line}" for line in verdict.case.spec().splitlines())


def run_command(verdict: Verdict) -> str:
    """Return the command that runs the spec of a failure."""
    assert verdict.case is not None
    subject = verdict.case.subject
    more = "" if subject.plugin is None else f" --plugin {subject.layer.source}{_named(subject)}"
    return f"python -m compiler run {SPEC_FILE}{more} --seed {verdict.case.seed}"


def _named(subject: Subject) -> str:
    """Return what is said of a layer that its plugin does not register."""
    return "" if mark_of(subject.layer.cls) is not None else f":{subject.layer.name}"
