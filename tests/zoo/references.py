"""The packages that the zoo is compared with and that nothing else may see, kept in a folder of their own.

torchvision comes for one build of torch, and packages that find another one break when they import it. `make test`
installs it into `reference`, beside the environment's own packages; here it is imported from there, and hidden again.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from runtime.importing.foreign_operators import declare_operators

FOLDER = Path(sys.prefix) / "reference"
HIDDEN = ("torchvision", "timm")
_hidden: dict[str, ModuleType] = {}


class MissingReference(ImportError):
    """A package that the zoo is compared with is not installed."""


@cache
def torchvision() -> ModuleType:
    """Return the package torchvision.

    Raises:
        MissingReference: it is not in the folder.
    """
    if not (FOLDER / "torchvision").is_dir():
        raise MissingReference(f"torchvision is not in {FOLDER}: `make test` installs it")
    with visible():
        declare_operators()
        return importlib.import_module("torchvision")


@contextmanager
def visible() -> Iterator[None]:
    """Let the packages of the folder be found, for a while."""
    sys.path.insert(0, str(FOLDER))
    sys.modules.update(_hidden)
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
        for name in [name for name in sys.modules if name.partition(".")[0] in HIDDEN]:
            _hidden[name] = sys.modules.pop(name)
