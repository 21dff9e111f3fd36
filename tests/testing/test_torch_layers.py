"""Every layer of torch has every property, but for the exceptions of its hints, which are needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from torch_table import exceptions, recorded

from compiler.catalogue.layers import layer_names
from runtime.testing import PROPERTIES, Property, Result, check_layer
from runtime.testing.case import Case
from runtime.testing.forms import is_met
from runtime.testing.outcome import Skip
from runtime.testing.report import failure_lines
from runtime.testing.strategies.cases import cases
from runtime.testing.subject import UNDER, torch_subject
from runtime.testing.torch_layers.table import HINTS

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLES = {"quick": 2, "ci": 3, "full": 10, "long": 200}[os.environ.get("HYPOTHESIS_PROFILE", "ci")]
GRAPHS = ("export", "compile")
"""Properties that take long, tried on one example where few are tried."""


@pytest.fixture(autouse=True)
def few_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    if EXAMPLES < 10:
        for name in GRAPHS:
            monkeypatch.setitem(PROPERTIES, name, replace(PROPERTIES[name], examples=1))


@pytest.mark.parametrize("name", sorted(layer_names()))
def test_a_layer_of_torch_has_all_properties(name: str) -> None:
    """But for the exceptions; and each property says something, or says why not."""
    verdicts = list(check_layer(torch_subject(name), EXAMPLES))
    broken = [line for each in verdicts if each.failure is not None for line in failure_lines(each)]
    assert not broken, "\n".join(broken)
    assert all(each.reason for each in verdicts if each.result == Result.silent)


def test_hints_are_of_layers_of_torch() -> None:
    assert set(HINTS) <= layer_names()


def excepted() -> Iterator[tuple[str, str]]:
    for name, hints in sorted(HINTS.items()):
        for key in hints.exceptions:
            yield name, key


@pytest.mark.parametrize(("name", "key"), list(excepted()))
def test_an_exception_is_needed(name: str, key: str) -> None:
    """Without it an example breaks the property."""
    property, _, condition = key.partition(UNDER)
    subject = torch_subject(name, replace(HINTS[name], exceptions={}))

    def applies(case: Case) -> bool:
        return not condition or is_met(subject, "exceptions", condition, case.names)

    assert is_broken(PROPERTIES[property], cases(subject).filter(applies))


class Broken(Exception):
    """An example breaks a property."""


def is_broken(property: Property, drawn: st.SearchStrategy[Case]) -> bool:
    """Say whether an example breaks a property, which need not be the smallest."""

    @settings(max_examples=100, derandomize=True, database=None, phases=[Phase.generate])
    @given(drawn)
    def holds(case: Case) -> None:
        try:
            property.check(case)
        except Skip:
            reject()
        except Exception as error:
            raise Broken from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            holds()
        except Broken:
            return True
    return False


def test_the_table_is_current() -> None:
    """Its layers and exceptions are those of the hints, and every property of a layer is accounted for."""
    rows = recorded()
    assert list(rows) == sorted(layer_names())
    hints = {name: torch_subject(name).hints.exceptions for name in rows}
    assert {name: cells[-1] for name, cells in rows.items()} == {n: exceptions(hints[n]) for n in rows}
    for name, (holds, silent, _) in rows.items():
        always = [key for key in hints[name] if UNDER not in key]
        assert int(holds) + silent.count("`") // 2 + len(always) == len(PROPERTIES), name
