"""What functions of the author keep between calls: a tensor that one run made is no part of the program of another."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def without_caches(root: nn.Module) -> Iterator[None]:
    """Let the functions of the packages that a module comes from keep nothing, of what was before or is done now."""
    classes = {cls for each in root.modules() for cls in type(each).__mro__}
    packages = {cls.__module__.partition(".")[0] for cls in classes} - {"torch", "builtins", "typing"}
    names = [name for name in list(sys.modules) if name.partition(".")[0] in packages]
    holders = classes | {cls for name in names for cls in _classes(sys.modules[name])}
    cached = list(_cached([*holders, *(sys.modules[name] for name in names)]))
    for each in cached:
        each.cache_clear()
    try:
        yield
    finally:
        for each in cached:
            each.cache_clear()


def _classes(module: object) -> Iterator[type]:
    name = getattr(module, "__name__", None)
    return (
        each for each in list(vars(module).values()) if isinstance(each, type) and each.__module__ == name
    )


def _cached(holders: list[object]) -> Iterator[functools._lru_cache_wrapper[object]]:
    """Yield the functions of modules and classes that keep what they returned, under decorators too."""
    for holder in holders:
        for found in list(vars(holder).values()):
            each = (
                getattr(found, "__func__", found) if isinstance(found, staticmethod | classmethod) else found
            )
            while callable(each) and not isinstance(each, type):
                if type(each) is functools._lru_cache_wrapper:
                    yield each
                each = getattr(each, "__dict__", {}).get("__wrapped__")
