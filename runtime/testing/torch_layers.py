"""Hints for the layers of torch: what their signatures do not say, and what they do not promise."""

from __future__ import annotations

from compiler.catalogue.hints import Hints

HINTS: dict[str, Hints] = {}
