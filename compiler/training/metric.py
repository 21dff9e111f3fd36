"""Metrics made from what a spec says: to compute with, or as a sketch that takes no memory."""

from __future__ import annotations

from typing import Any

import torch

from compiler.training.calls import Making
from spec_schema.diagnostics import refuse

MOST_NUMBERS = 100_000_000
"""That one metric may keep."""


def make_metric(making: Making) -> Any:
    """Return the metric, or refuse values that it does not take."""
    try:
        return making.target(**making.arguments)
    except (ValueError, TypeError, RuntimeError, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise refuse("bad-argument", f"`{making.name}` cannot be made: {reason}", making.span) from None


def sketched_metric(making: Making) -> Any:
    """Return the metric without its values, or refuse arguments that it does not take, and too many numbers."""
    with torch.device("meta"):
        metric = make_metric(making)
    kept = sum(each.numel() for each in metric._defaults.values() if isinstance(each, torch.Tensor))
    if kept > MOST_NUMBERS:
        message = f"`{making.name}` would keep {kept:,} numbers, more than {MOST_NUMBERS:,}"
        raise refuse("bad-argument", message, making.span)
    return metric
