"""What the tests of surgery share: files with counted values, and specs that read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from spec_schema.diagnostics import Diagnostic

Shapes = Mapping[str, Sequence[int]]


def counted(shapes: Shapes, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Tensors of which no two values are equal."""
    made, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        made[name] = torch.arange(start, start + size).reshape(list(shape)).to(dtype)
        start += size
    return made


def write(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})
    return path


def holding(tensors: Shapes, init: str, more: str = "") -> Artifact:
    """A model that holds parameters by dotted names, of which nothing is computed, with its `init` section."""
    tree: dict[str, dict[str, Sequence[int] | None]] = {"": {}}
    for name, shape in tensors.items():
        parts = name.split(".")
        for depth, part in enumerate(parts):
            tree.setdefault(".".join(parts[:depth]), {})[part] = shape if depth == len(parts) - 1 else None
    blocks = "".join(f"  {_title(path)}:\n{_body(path, tree[path])}" for path in tree if path)
    return compiler.compile_text(
        "spec: 1\nname: holder\ninputs: {given: 'float[2]'}\n"
        f"{more}{'blocks:' if blocks else ''}\n{blocks}model:\n{_body('', tree[''])}init:\n{init}"
    )


def _body(path: str, entries: Mapping[str, Sequence[int] | None]) -> str:
    """Write a block with parameters, and blocks, under these names."""
    parameters = [f"{name}: 'float{list(shape)}'" for name, shape in entries.items() if shape is not None]
    inner = [name for name, shape in entries.items() if shape is None]
    layers = [f"{name}: {_title(f'{path}.{name}'.strip('.'))}" for name in inner]
    terms = [f"{name}(given)" if shape is None else f"{name}.sum()" for name, shape in entries.items()]
    return (
        f"    parameters: {{{', '.join(parameters)}}}\n    layers: {{{', '.join(layers)}}}\n"
        f"    forward{'(given)' if path else ''}: |\n      return given + {' + '.join(terms)}\n"
    )


def _title(path: str) -> str:
    return "".join(part.capitalize() for part in path.split("."))


def loaded(artifact: Artifact, folder: Path) -> nn.Module:
    return runtime.build(artifact, folder=folder, device="cpu")


def refused(artifact: Artifact, folder: Path) -> tuple[Diagnostic, ...]:
    """What is said of a model that is not built. The dry run says the same."""
    said = []
    for run in (runtime.load_plan, loaded):
        try:
            run(artifact, folder)
        except compiler.SpecError as error:
            said.append(error.diagnostics)
    assert said, "it is not refused"
    assert said[0] == said[-1]
    return said[0]
