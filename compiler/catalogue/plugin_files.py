"""The files of plugins: each is run once for what stands in it, and again where it is to be found in a pickle."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from spec_schema.shown import ShownError

FILE_PREFIX = "blockprint_plugin_"
"""Modules of plugin files get a name of their own, so that two files of one name do not meet."""

_DIGEST = "__blockprint_digest__"
"""The attribute of such a module that holds the digest of what it was run from."""


class PluginError(ShownError):
    """A plugin that cannot be loaded, or that clashes with what is there already."""


def load_file(path: Path) -> ModuleType:
    """Return the module of a plugin file: the one that is there if the file has not changed, else one run anew."""
    path = Path(os.path.realpath(path))
    if not path.is_file():
        raise PluginError(f"there is no plugin file {path}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = _module_name(path)
    before = sys.modules.get(name)
    if before is not None and getattr(before, _DIGEST, None) == digest:
        return before
    module = _run(name, path)
    setattr(module, _DIGEST, digest)
    return module


def _module_name(path: Path) -> str:
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return f"{FILE_PREFIX}{digest}_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}"


class _NotCached(SourceFileLoader):
    """Runs a file as it is now: bytecode is told apart by second and size alone."""

    def path_stats(self, path: Any) -> Any:
        """Tell nothing of the file, so that no bytecode is read or written."""
        raise OSError


def _run(name: str, path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise PluginError(f"{path} is no Python file")
    if isinstance(found.loader, SourceFileLoader):
        found.loader = _NotCached(name, str(path))
    module = importlib.util.module_from_spec(found)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses, pickle and inspect look a class's module up there
    try:
        found.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        raise
    return module


def import_name(member: Any) -> str:
    """Return the module that a stand-alone file imports a registered layer or operation from."""
    return re.sub(rf"^{FILE_PREFIX}[0-9a-f]+_", "", member.__module__)


@dataclass(frozen=True)
class PluginFile:
    """A plugin file in a pickle. It comes before members of its module, which are then found by their names."""

    path: str

    def __reduce__(self) -> tuple[Callable[[str], PluginFile], tuple[str]]:
        return _found, (self.path,)


def _found(path: str) -> PluginFile:
    load_file(Path(path))
    return PluginFile(path)


def files_of(members: Iterable[Any]) -> tuple[PluginFile, ...]:
    """Return the plugin files that classes and functions come from."""
    modules = dict.fromkeys(member.__module__ for member in members)
    homes = [sys.modules[name] for name in modules if name.startswith(FILE_PREFIX)]
    return tuple(PluginFile(str(home.__file__)) for home in homes)
