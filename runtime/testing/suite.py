"""The properties of a layer as tests for pytest."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from hypothesis import strategies as st
from torch import nn

from compiler.catalogue.hints import Hints
from runtime.testing.case import Case
from runtime.testing.check import BASIC, EXAMPLES, check_property, properties_of
from runtime.testing.hint_checks import check_hints
from runtime.testing.outcome import Property, Result
from runtime.testing.report import failure_lines
from runtime.testing.strategies.cases import cases
from runtime.testing.subject import HintError, Subject, subject_of


def layer_tests(
    layer: type[nn.Module], hints: Hints | None = None, examples: int = EXAMPLES
) -> Callable[[Property], None]:
    """Return a test function with a test for each property of a layer: `test_mixer = layer_tests(Mixer)`.

    `hints` are those of `@layer` if none are given. A property that the hints except is skipped with their reason.

    Raises:
        PluginError: no spec could name the class, or say what it takes.
        HintError: a hint is wrong.
    """
    import pytest  # a tool of who writes layers, which the runtime does not need

    tried = _Tried(subject_of(layer, hints))
    check_hints(tried.subject)

    @pytest.mark.parametrize("property", properties_of(tried.subject).values(), ids=lambda each: each.name)
    def test(property: Property) -> None:
        reason = tried.subject.exception(property.name)
        if reason is not None:
            pytest.skip(reason)
        try:
            verdict = check_property(property, tried.cases, examples)
        except HintError as error:
            pytest.fail(str(error), pytrace=False)
        if verdict.result == Result.fails:
            pytest.fail("\n".join(failure_lines(verdict)), pytrace=False)
        if verdict.result == Result.silent and property.name == BASIC:
            pytest.fail(f"{tried.subject.layer.name}: {verdict.reason}", pytrace=False)
        if verdict.result == Result.silent:
            pytest.skip(verdict.reason or "")

    test.__doc__ = f"{layer.__name__} has the property."
    return test


class _Tried:
    """A subject and its examples: found at the first test, so that collecting stays quick."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @cached_property
    def cases(self) -> st.SearchStrategy[Case]:
        return cases(self.subject)
