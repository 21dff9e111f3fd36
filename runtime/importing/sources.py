"""Where a module comes from that is named on the command line: a file, a package, or a library of models.

Importing runs the caller's code, like a plugin. A spec can never cause it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from runtime.importing.foreign_operators import declare_operators
from runtime.importing.transformers_models import inputs_of_model, model_of
from spec_schema.diagnostics import refuse
from spec_schema.suggest import did_you_mean


@dataclass(frozen=True)
class Source:
    """A module, and what its library says of its inputs."""

    module: nn.Module
    inputs: Mapping[str, str] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)


def source_of(text: str, arguments: Mapping[str, Any]) -> Source:
    """Return the module that a text names, made with these arguments.

    Raises:
        SpecError: there is no such file, callable or library, or what it makes is no module.
    """
    head, _, rest = text.partition(":")
    if not rest:
        raise refuse("import-source", f"`{text}` names no module", None, help="write `file.py:make_model`")
    if head in LIBRARIES:
        return LIBRARIES[head](rest, arguments)
    made = _callable(head, rest)(**arguments)
    if not isinstance(made, nn.Module):
        raise refuse("import-source", f"`{text}` makes a `{type(made).__name__}`, and no `nn.Module`", None)
    return Source(made)


def argument_value(text: str) -> Any:
    """Return the value of an argument that is given as a text: a literal of Python, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _callable(where: str, name: str) -> Callable[..., Any]:
    module = _file(Path(where)) if where.endswith(".py") else _package(where)
    found = getattr(module, name, None)
    if not callable(found):
        near = did_you_mean(name, [each for each in vars(module) if callable(getattr(module, each))])
        raise refuse("import-source", f"`{where}` has no callable `{name}`", None, help=near)
    function: Callable[..., Any] = found
    return function


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise refuse("import-source", f"there is no file `{path}`", None)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise refuse("import-source", f"there is no package `{error.name}`", None) from None


def library(name: str) -> ModuleType:
    """Return a library of models.

    Raises:
        SpecError: it is not installed.
    """
    declare_operators()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        help = f"pip install {error.name}"
        raise refuse("import-source", f"`{error.name}` is not installed", None, help=help) from None


def _timm(name: str, arguments: Mapping[str, Any]) -> Source:
    timm: Any = library("timm")
    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise refuse("import-source", f"timm has no model `{name}`", None, help=near)
    module = timm.create_model(name, pretrained=False, **arguments)
    size = module.pretrained_cfg.get("input_size") or (3, 224, 224)
    return Source(module, {"x": _type("batch", *size)})


def _torchvision(name: str, arguments: Mapping[str, Any]) -> Source:
    models: Any = importlib.import_module("torchvision.models") if library("torchvision") else None
    if name not in models.list_models():
        near = did_you_mean(name, models.list_models())
        raise refuse("import-source", f"torchvision has no model `{name}`", None, help=near)
    builder = models.get_model_builder(name)
    if "weights_backbone" in inspect.signature(builder).parameters:
        arguments = {"weights_backbone": None, **arguments}  # they would be downloaded
    module = builder(weights=None, **arguments)
    kind = builder.__module__.split(".")[2]
    size: Sequence[object] = TORCHVISION_SIZES.get(name, TORCHVISION_SIZES.get(kind, (3, 224, 224)))
    takes = list(inspect.signature(module.forward).parameters)[: 2 if kind == "optical_flow" else 1]
    return Source(module, {each: _type("batch", *size) for each in takes})


def _transformers(name: str, arguments: Mapping[str, Any]) -> Source:
    transformers: Any = library("transformers")
    module = model_of(transformers, name, arguments)
    inputs, dims = inputs_of_model(module)
    return Source(module, inputs, dims)


def _type(*dimensions: object, dtype: str = "float32") -> str:
    return f"{dtype}[{', '.join(map(str, dimensions))}]"


TORCHVISION_SIZES: dict[str, tuple[int, ...]] = {
    "video": (3, 16, 112, 112),
    **dict.fromkeys(("mvit_v1_b", "mvit_v2_s", "s3d"), (3, 16, 224, 224)),
    "optical_flow": (3, 128, 128),
    "inception_v3": (3, 299, 299),
}
"""What a model of torchvision takes, by its name or its kind, where that is no picture of 224 × 224."""
LIBRARIES: dict[str, Callable[[str, Mapping[str, Any]], Source]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "transformers": _transformers,
}
"""What may stand in front of the name of a model."""
