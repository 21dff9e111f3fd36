"""Texts of a spec in Markdown: a spec may come from a stranger, and must not show a picture or a link of its own."""

from __future__ import annotations

import re

from spec_schema.shown import shown

_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#+.!|~:@&/-])")


def code(text: str) -> str:
    """Return a text as code, in a table too."""
    return "`" + shown(text).replace("`", "'").replace("|", "\\|") + "`"


def prose(text: str) -> str:
    """Return a text as it is, without meaning to Markdown."""
    return _SIGNS.sub(r"\\\1", shown(text))
