"""Python's collector of garbage, while much is made that stays: it would look at all of it again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 200_000
"""Objects that are made, and not freed, before the collector looks: it begins with 700 or 2,000."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Let the collector look seldom, for the time of a `with`."""
    before = gc.get_threshold()
    if not 0 < before[0] < SELDOM:
        yield
        return
    gc.set_threshold(SELDOM, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
