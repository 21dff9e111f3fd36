"""What can be said against hints before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from compiler.catalogue.annotations import accepted, describe, fits_argument
from compiler.catalogue.hints import Recipe
from runtime.testing.forms import expression, hinted_forms, names_in, possible_forms, tensor_type
from runtime.testing.subject import UNDER, HintError, Subject, check_known
from spec_schema.grammar import Expression


def check_hints(subject: Subject) -> None:
    """Check all that hints name against the layer that they are for.

    Raises:
        HintError: something does not fit.
    """
    hints = subject.hints
    arguments = {each.name for each in subject.layer.arguments}
    forms = hinted_forms(subject) if hints.inputs else possible_forms(subject)
    sizes = {name for form in forms for name in form.names()} - arguments
    inputs = set(subject.forward_parameters())
    for name in hints.sizes:
        if name in arguments:
            raise HintError(
                f"{subject.layer.name}: hints.sizes name the argument `{name}`: it goes into hints.arguments"
            )
    _known(subject, "sizes", hints.sizes, sizes)
    _known(subject, "values", hints.values, inputs)
    known = arguments | sizes
    given = [hints.output] if isinstance(hints.output, str) else hints.output or []
    _names(
        subject, "output", (part for text in given for part in tensor_type(subject, text).dimensions), known
    )
    bounds = [each for pair in hints.values.values() for each in pair if isinstance(each, str)]
    _names(subject, "values", (expression(subject, each) for each in bounds), known)
    _names(subject, "where", (expression(subject, each) for each in hints.where), known | inputs)
    conditions = [
        condition for _, mark, condition in (key.partition(UNDER) for key in hints.exceptions) if mark
    ]
    _names(subject, "exceptions", (expression(subject, each) for each in conditions), known | inputs)
    _check_arguments(subject)


def _check_arguments(subject: Subject) -> None:
    for argument in subject.layer.arguments:
        given = subject.hints.arguments.get(argument.name)
        if given is None or isinstance(given, st.SearchStrategy):
            continue
        for value in given:
            if not isinstance(value, Recipe) and not fits_argument(value, argument):
                wanted = describe(accepted(argument))
                name = subject.layer.name
                raise HintError(f"{name}: hints.arguments: `{argument.name}` takes {wanted}, not {value!r}")


def _names(subject: Subject, what: str, given: Iterable[Expression], known: set[str]) -> None:
    for each in given:
        _known(subject, what, names_in(each), known)


def _known(subject: Subject, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    there = sorted(known)
    for name in names:
        check_known(subject, what, name, there)
