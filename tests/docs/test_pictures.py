"""The terminal pictures of docs/ show what their commands print today, and load nothing."""

from __future__ import annotations

import pytest

from tests.docs.pictures import COMMANDS, FOLDER, picture
from tests.docs.test_docs import ROOT


@pytest.mark.parametrize("name", COMMANDS)
def test_a_picture_is_current(name: str) -> None:
    shown = (FOLDER / f"{name}.svg").read_text()
    assert shown == picture(name, COMMANDS[name]), "PYTHONPATH=. python tests/docs/pictures.py"
    assert "url(http" not in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_its_picture(name: str) -> None:
    assert f"](pictures/{name}.svg)" in (ROOT / "docs" / f"{name}.md").read_text()
