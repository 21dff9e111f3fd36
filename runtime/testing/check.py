"""Properties tried on examples of a layer, and the smallest example that breaks one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, Unsatisfiable

from runtime.testing.case import Case
from runtime.testing.forms import is_met
from runtime.testing.lint import likely_cause, place_of
from runtime.testing.outcome import Failure, Property, Result, Skip, Verdict
from runtime.testing.properties.table import PROPERTIES
from runtime.testing.strategies.cases import cases
from runtime.testing.subject import UNDER, HintError, Subject, check_known

EXAMPLES = 30
BASIC = "runs"
"""The property without which the others say nothing."""
NOTHING = "no arguments and sizes were found that the constructor and the hints allow"
_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def check_layer(subject: Subject, examples: int = EXAMPLES, seed: int | None = None) -> Iterator[Verdict]:
    """Yield the verdict on each property of a layer, as soon as it is known.

    The same examples are drawn each time, unless a `seed` is given. Where the layer does not run, nothing else
    is tried.

    Raises:
        HintError: what the layer takes is not known, or a hint is wrong.
    """
    drawn = cases(subject)
    broken = False
    causes: dict[str, str] = {}
    for each in properties_of(subject).values():
        reason = subject.exception(each.name)
        if reason is not None:
            yield Verdict(each, Result.excepted, reason=reason)
        elif broken:
            yield Verdict(each, Result.silent, reason="it does not run")
        else:
            verdict = check_property(each, drawn, examples, seed)
            if each.name == BASIC and verdict.result == Result.silent:
                raise HintError(f"{subject.layer.name}: {verdict.reason}")
            broken = each.name == BASIC and verdict.result == Result.fails
            yield _told_once(verdict, causes)


def _told_once(verdict: Verdict, causes: dict[str, str]) -> Verdict:
    """Return a verdict, or that it follows from what an earlier one told; `causes` has the property of each cause.

    Where no cause is known, what was found is told once, such as an error that is raised in one line of the layer.
    """
    failure = verdict.failure
    cause = None if failure is None else failure.cause or failure.message
    if cause is None or causes.setdefault(cause, verdict.property.name) == verdict.property.name:
        return verdict
    return Verdict(verdict.property, Result.follows, reason=f"it fails for the cause of `{causes[cause]}`")


def properties_of(subject: Subject) -> dict[str, Property]:
    """Return all properties; HintError where a hint excepts an unknown one."""
    for name in (key.partition(UNDER)[0] for key in subject.hints.exceptions):
        check_known(subject, "exceptions", name, PROPERTIES)
    return PROPERTIES


def check_property(
    property: Property, drawn: st.SearchStrategy[Case], examples: int = EXAMPLES, seed: int | None = None
) -> Verdict:
    """Try one property on examples, and return the smallest that breaks it if there is one."""
    trial = _Trial(property)
    try:
        _run(trial, drawn, min(examples, property.examples), seed)
    except (Failure, Flaky):
        return Verdict(property, Result.fails, trial.tried, case=trial.broken, failure=trial.failure)
    except Unsatisfiable:
        return Verdict(property, Result.silent, reason=NOTHING)
    if trial.tried == 0:
        return Verdict(property, Result.silent, reason=trial.reason)
    return Verdict(property, Result.holds, trial.tried)


class _Trial:
    """Tries a property on one example after the other."""

    def __init__(self, property: Property) -> None:
        self.property = property
        self.tried = 0
        self.reason: str | None = None
        self.broken: Case | None = None
        self.failure: Failure | None = None

    def __call__(self, case: Case) -> None:
        if (reason := _exception(case, self.property)) is not None:
            self.reason = reason
            return
        try:
            self.property.check(case)
        except Skip as skip:
            self.reason = str(skip)
        except Exception as error:
            self.broken, self.failure = case, _explained(error, case, self.property)
            raise self.failure from error
        else:
            self.tried += 1


def _exception(case: Case, property: Property) -> str | None:
    """Return why the hints except a property for an example, if they do."""
    for text, reason in case.subject.exceptions_under_conditions(property.name).items():
        if is_met(case.subject, "exceptions", text, case.names):
            return reason
    return None


def _explained(error: Exception, case: Case, property: Property) -> Failure:
    """Return a failure with its likely cause: a failed check, or whatever the layer raises."""
    cls = case.subject.layer.cls
    if isinstance(error, Failure):
        message, cause = error.message, error.cause
    else:
        place = place_of(error, cls)
        raised = f"it raises {type(error).__name__}" + (f" ({place})" if place else "")
        message, cause = f"{raised}: {_line(error)}", None
    return Failure(message, likely_cause(cls, property.name) or cause)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


TRACE = "torch.__trace"
"""A logger that torch hands its records to without asking for their level."""
LONGEST = 300
"""Characters of a message that is not ours."""


def _run(
    trial: Callable[[Case], None], drawn: st.SearchStrategy[Case], examples: int, seed: int | None
) -> None:
    @settings(
        max_examples=examples,
        derandomize=seed is None,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=_QUIET,
        verbosity=Verbosity.quiet,
    )
    @given(drawn)
    def property(case: Case) -> None:
        trial(case)

    if seed is not None:
        property = hypothesis.seed(seed)(property)
    with warnings.catch_warnings(), _without_logs():
        warnings.simplefilter("ignore")
        property()


@contextmanager
def _without_logs() -> Iterator[None]:
    """Keep torch from logging what it raises as well."""
    before, trace = logging.root.manager.disable, logging.getLogger(TRACE)
    logging.disable(logging.CRITICAL)
    trace.disabled = True
    try:
        yield
    finally:
        logging.disable(before)
        trace.disabled = False
