"""What functions of the author keep between calls: a tensor that one run made is no part of the program of another."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def without_caches(root: nn.Module) -> Iterator[None]:
    """Let the functions of the packages that a module comes from keep nothing, of what was before or is done now."""
    packages = {type(each).__module__.partition(".")[0] for each in root.modules()} - {"torch"}
    cached = [
        each
        for each in gc.get_objects()
        if type(each) is functools._lru_cache_wrapper
        and str(getattr(each, "__module__", "")).partition(".")[0] in packages
    ]
    for each in cached:
        each.cache_clear()
    try:
        yield
    finally:
        for each in cached:
            each.cache_clear()
