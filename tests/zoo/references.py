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

import torch

FOLDER = Path(sys.prefix) / "reference"
HIDDEN = ("torchvision", "timm")
OPERATORS = """
    nms qnms deform_conv2d _deform_conv2d_backward qroi_align roi_align _roi_align_backward roi_pool
    _roi_pool_backward ps_roi_align _ps_roi_align_backward ps_roi_pool _ps_roi_pool_backward
""".split()
"""What torchvision registers from Python. None of it belongs to a classifier."""
_hidden: dict[str, ModuleType] = {}
_stubs: list[torch.library.Library] = []


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


def declare_operators() -> None:
    """Declare the operators that torchvision's own library defines, where it does not fit this build of torch."""
    for library in (FOLDER / "torchvision").glob("_C_stable.*"):
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        return
    stubs = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        stubs.define(f"{name}(Tensor x) -> Tensor")
    _stubs.append(stubs)  # the declarations last as long as this
