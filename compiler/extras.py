"""Packages that are installed on request, as extras of the project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

from spec_schema.shown import ShownError


class MissingExtraError(ShownError, ImportError):
    """A part of the project needs packages that are not installed."""


@dataclass(frozen=True)
class Extra:
    """An extra of the project, with the modules that its packages bring."""

    name: str
    purpose: str
    modules: Sequence[str]
    instead: Sequence[str] = ()
    """Modules that do as well, where they are there."""

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f"pip install 'blockprint[{self.name}]'"

    def missing(self) -> list[str]:
        """Return its modules that are not installed."""
        if any(_is_there(module) for module in self.instead):
            return []
        return [module for module in self.modules if not _is_there(module)]

    def problem(self) -> str | None:
        """Return which module is missing, as one sentence, or None."""
        missing = self.missing()
        return f"{self.purpose} needs `{missing[0]}`, which is not installed" if missing else None

    def require(self) -> None:
        """Raise MissingExtraError, with the command that installs the extra, if a module is missing."""
        problem = self.problem()
        if problem is not None:
            raise MissingExtraError(f"{problem}: {self.command}")


def _is_there(module: str) -> bool:
    try:
        _located(module)
    except ModuleNotFoundError:
        return False
    return True


@cache
def _located(module: str) -> ModuleSpec:
    """Return where a module is. What was found is not looked for again: no spec makes anything look into folders."""
    found = find_spec(module)
    if found is None:
        raise ModuleNotFoundError(module)
    return found


TESTING = Extra("testing", "testing layers", ("hypothesis",))
TRAIN = Extra("train", "training", ("pytorch_lightning", "torchmetrics", "jinja2"))
DATA = Extra("data", "reading tables and images", ("pyarrow", "PIL"))
TENSORBOARD = Extra("tensorboard", "a log for TensorBoard", ("tensorboardX",), instead=("tensorboard",))
"""tensorboardX only writes, and brings protobuf alone; who looks at logs has tensorboard, which Lightning prefers."""
EXPORT = Extra("export", "exporting to ONNX", ("onnx", "onnxscript", "onnxruntime"))
TRANSFORMERS = Extra("transformers", "a folder for `transformers`", ("transformers",))
DRAW = Extra("draw", "a picture as SVG", ("py_mini_racer",))
EDITOR = Extra("editor", "the language server", ("pygls", "lsprotocol"))
EXTRAS = (TESTING, TRAIN, DATA, TENSORBOARD, EDITOR, DRAW, EXPORT, TRANSFORMERS)
