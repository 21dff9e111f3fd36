"""The collector of garbage works as before once a spec is compiled or a model built, or refused."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import compiler
from spec_schema.collecting import SELDOM, collecting_seldom

SPEC = 'spec: 1\ninputs: {x: "float[2, 8]"}\nmodel: [Linear(3)]\n'


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_looks_seldom_inside() -> None:
    before = gc.get_threshold()
    with collecting_seldom():
        assert gc.isenabled()
        assert gc.get_threshold()[0] == SELDOM
    assert gc.get_threshold() == before


def test_what_a_caller_chose_stays() -> None:
    for chosen in ((0, 10, 10), (2 * SELDOM, 5, 5), (50, 5, 5)):
        gc.set_threshold(*chosen)
        before = gc.get_threshold()
        compiler.compile_text(SPEC)
        assert gc.get_threshold() == before


def test_a_refused_spec_leaves_it_as_it_was() -> None:
    before = gc.get_threshold()
    with pytest.raises(compiler.SpecError):
        compiler.compile_text(SPEC.replace("Linear(3)", "Linera(3)"))
    assert gc.get_threshold() == before
