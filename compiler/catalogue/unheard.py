"""Tensors that are looked at, and not computed with: no mode is asked.

A mode hears of each question for a shape or a dtype, which then takes twenty times as long.
"""

from __future__ import annotations

from contextlib import AbstractContextManager


def unheard() -> AbstractContextManager[None]:
    """Let modes hear nothing, for the time of a `with`: not what device a new tensor is to be on either."""
    import torch  # the tables of layers are read where torch is not needed

    return torch._C.DisableTorchFunction()
