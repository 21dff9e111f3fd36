"""What answers depend on besides a spec: our own code, the packages that are installed, and Python.

Nothing of that is imported to know its version.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

OURS = ("spec_schema", "compiler", "runtime")
DISTRIBUTIONS = (".dist-info", ".egg-info", ".egg-link", ".pth")
Stamp = tuple[str, int, int]
"""A path, the bytes of the file, and when it was changed."""


def versions() -> list[object]:
    """Return what changes whenever another answer might be given for the same spec."""
    root = str(Path(__file__).parents[3])
    ours = [stamp for package in OURS for stamp in _files(os.path.join(root, package))]
    installed = [[folder, sorted(_distributions(folder))] for folder in sys.path]
    return [sys.version, sys.executable, list(sys.flags), sorted(ours), installed]


def _files(folder: str) -> Iterator[Stamp]:
    """Yield the files of a package, without what Python makes of them."""
    with os.scandir(folder) as entries:
        for each in entries:
            if each.is_dir(follow_symlinks=False):
                yield from () if each.name == "__pycache__" else _files(each.path)
            else:
                yield _stamp(each)


def _distributions(folder: str) -> Iterator[Stamp]:
    """Yield the records of what is installed in a folder of `sys.path`, whose names have the versions."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        yield from (_stamp(each) for each in entries if each.name.endswith(DISTRIBUTIONS))


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    found = entry.stat()
    return entry.path, found.st_size, found.st_mtime_ns
