"""A picture as SVG, for papers and documents."""

from __future__ import annotations

from compiler.drawing.drawing import Drawing
from compiler.drawing.files import asset
from compiler.drawing.javascript import svg as laid_out


def svg(drawing: Drawing) -> str:
    """Return the picture of a model as SVG, in the colours of light or dark as its reader has it.

    Raises:
        MissingExtraError: the engine of the layout is not installed.
    """
    return laid_out(drawing, asset("picture.css")) + "\n"
