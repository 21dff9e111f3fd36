"""Which models a library has, and where their source lies."""

from __future__ import annotations

import importlib
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.importing.sources import Source, library, source_of
from runtime.importing.survey.small_configurations import FAMILIES, small_configuration

FOLDERS: dict[str, tuple[str, ...]] = {
    "timm": ("models", "layers"),
    "torchvision": ("models", "ops"),
    "transformers": ("models",),
}
"""The folders of a library that hold its modelling code."""


def models_of(name: str) -> list[str]:
    """Return the sources of all models of a library, in a fixed order.

    Raises:
        SpecError: the library is not installed.
    """
    return [f"{name}:{each}" for each in sorted(LISTS[name]())]


def titled(name: str) -> str:
    """Return the name of a library with its version."""
    return f"{name} {library(name).__version__}"


def sampled(sources: Sequence[str], count: int | None, seed: int) -> list[str]:
    """Return so many of the sources, drawn at random; all of them if no number is given."""
    if count is None or count >= len(sources):
        return list(sources)
    return random.Random(seed).sample(list(sources), count)


def made(source: str) -> Source:
    """Return a model of a library; one of transformers of a configuration that is written for it."""
    name, _, family = source.partition(":")
    if name != "transformers":
        return source_of(source, {})
    with tempfile.TemporaryDirectory() as folder:
        config = small_configuration(library(name), family)
        Path(folder, "config.json").write_text(json.dumps(config))
        return source_of(f"{name}:{folder}", {})


def modelling_folders(name: str) -> list[Path]:
    """Return where the modelling code of a library lies."""
    root = Path(str(library(name).__file__)).parent
    return [root / each for each in FOLDERS[name]]


def _timm() -> list[str]:
    return list(library("timm").list_models())


def _torchvision() -> list[str]:
    """Return the models that are made of floating-point numbers."""
    library("torchvision")
    names: list[str] = importlib.import_module("torchvision.models").list_models()
    return [each for each in names if not each.startswith("quantized_")]


LISTS: dict[str, Callable[[], list[str]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "transformers": lambda: FAMILIES,
}
"""The libraries of which a survey can be made."""
