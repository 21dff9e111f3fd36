"""Every tool takes a built model as it takes one written by hand, and docs/tools.md says so."""

from __future__ import annotations

import pytest
from torch import nn

from tests.tools.models import MODELS, Subject, built, by_hand
from tests.tools.tool_table import (
    DOCUMENT,
    HEAD,
    HOLDS,
    apart,
    cell,
    missing,
    outcome,
    outcomes,
    row,
    version,
)
from tests.tools.tools import TOOLS, Tool


def recorded() -> list[str]:
    """Return the rows of docs/tools.md."""
    head, text = DOCUMENT.read_text(encoding="utf-8").split(HEAD.splitlines(keepends=True)[-1])
    assert head + HEAD.splitlines(keepends=True)[-1] == HEAD
    return text.splitlines(keepends=True)


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_takes_a_built_model(name: str) -> None:
    tool = TOOLS[name]
    if missing(tool):
        pytest.skip(f"{', '.join(missing(tool))} is not installed: `make test` fetches it")
    found = apart(name) if tool.needs else outcomes(tool)
    assert [made for made, _ in found] == [hand for _, hand in found]
    assert row(tool, found) in recorded()


def test_the_table_has_all_tools() -> None:
    cells = [[each.strip() for each in line.strip("|\n").split(" | ")] for line in recorded()]
    assert [(each[0], each[3]) for each in cells] == [(each.title, version(each)) for each in TOOLS.values()]
    assert all(made == hand for _, made, hand, _ in cells)


def test_what_does_not_hold_is_told_for_its_model() -> None:
    def use(subject: Subject) -> None:
        assert any(isinstance(each, nn.Embedding) for each in subject.model.modules()), "no words"

    tool = Tool("a tool", use, ())
    found = [outcome(tool, make, name) for name in MODELS for make in (built, by_hand)]
    assert found == ["AssertionError: no words"] * 2 + [HOLDS] * 2
    assert cell([found[0], found[2]]) == "images: AssertionError: no words<br>words: holds"
