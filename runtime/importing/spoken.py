"""What programs call layers."""

from __future__ import annotations

import keyword
import re


def spoken(layer: str) -> str:
    """Return what a program calls a layer: another name than its own, where that is no name of Python's."""
    if layer.isidentifier() and not keyword.iskeyword(layer) and not layer.startswith("_"):
        return layer
    name = re.sub(r"\W", "_", layer).strip("_") or "layer"
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"layer{name}"
