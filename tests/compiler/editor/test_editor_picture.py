"""The picture in `docs/editor.md` shows what an editor gets today."""

from __future__ import annotations

from tests.compiler.editor.picture import PICTURE, picture


def test_it_is_up_to_date() -> None:
    """`python -m tests.compiler.editor.picture` renews it."""
    assert PICTURE.read_text() == picture()
