"""Blockprint's runtime: what one does with an artifact."""

from runtime.build import build
from runtime.store import load, save

__all__ = ["build", "load", "save"]
