"""A model from its emitted file, as somebody makes it who has nothing else."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import nn


def run_file(source: str, name: str) -> nn.Module:
    """Run a source as a module of its own, and make its root class."""
    made: nn.Module = class_of(source, name)()
    return made


def class_of(source: str, name: str) -> Any:
    """Run a source as a module of its own, and return its root class.

    The path is the same each time, so that Hypothesis knows a failure again where it comes from the file.
    """
    module = ModuleType("emitted")
    exec(compile(source, "emitted.py", "exec"), vars(module))
    return getattr(module, name)
