"""The files that pictures are made with."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

FOLDER = "compiler.drawing.assets"


@cache
def asset(name: str) -> str:
    """Return the text of a file of the folder `assets`."""
    return files(FOLDER).joinpath(name).read_text("utf-8")
