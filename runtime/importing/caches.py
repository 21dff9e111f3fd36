"""What functions of the author keep between calls: a tensor that one run made is no part of the program of another."""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def without_caches(root: nn.Module) -> Iterator[None]:
    """Let the functions of the packages that a module comes from keep nothing, of what was before or is done now."""
    packages = {type(each).__module__.partition(".")[0] for each in root.modules()} - {"torch"}
    cached = [*_cached(packages)]
    for each in cached:
        each.cache_clear()
    try:
        yield
    finally:
        for each in cached:
            each.cache_clear()


def _cached(packages: Collection[str]) -> Iterator[Any]:
    """Yield the functions and methods of modules that `functools` caches.

    The garbage collector knows them too, but not in a process that froze what it holds.
    """
    modules = [m for name, m in sys.modules.items() if m is not None and name.partition(".")[0] in packages]
    for module in modules:
        members = list(vars(module).values())
        methods = [each for kind in members if isinstance(kind, type) for each in vars(kind).values()]
        for each in (*members, *methods):
            function = (
                getattr(each, "__func__", each) if isinstance(each, staticmethod | classmethod) else each
            )
            if isinstance(function, functools._lru_cache_wrapper):
                yield function
