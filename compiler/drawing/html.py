"""A picture as one page for a browser, which needs nothing else."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from compiler.drawing.data import page_data
from compiler.drawing.drawing import Drawing
from compiler.drawing.files import asset
from compiler.rules.provenance import Provenance
from spec_schema.shown import shown

PARTS = ("picture.css", "page.css", "elk.bundled.js", "selectors.js", "picture.js", "page.js")


def html(drawing: Drawing, origins: Provenance) -> str:
    """Return the page of a model. What a spec says stands in it as text and never as markup."""
    return page(page_data(drawing, origins))


def in_notebook(drawing: Drawing, origins: Provenance) -> str:
    """Return the page in a frame of its own, which a notebook shows in its output."""
    style = "width: 100%; height: 36rem; border: 1px solid #8884; border-radius: .4rem"
    text = escape(html(drawing, origins))
    title = escape(f"picture of {shown(drawing.title)}")
    return f'<iframe title="{title}" sandbox="allow-scripts" style="{style}" srcdoc="{text}"></iframe>'


def page(data: dict[str, Any]) -> str:
    """Return the page with what it knows."""
    text = asset("page.html").replace("<!-- title -->", escape(shown(data["title"])))
    for part in PARTS:
        text = text.replace(f"/* {part} */", asset(part))
    return text.replace("/* data */", _inside_script(data))


def _inside_script(data: dict[str, Any]) -> str:
    """Return values as a text that no markup can end."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
