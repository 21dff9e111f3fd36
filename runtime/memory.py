"""The memory of this machine, and how much of it may be taken."""

from __future__ import annotations

MEMORY_SHARE = 0.8
"""Of the memory of a device: what the tensors of a model may take."""


def available_memory() -> int:
    """Return the memory of this machine that is free for use, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)
