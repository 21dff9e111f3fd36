"""What the tests of exports share: a model whose tensors all have values of their own, and the parts of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

import runtime
from compiler import compile_text
from tests.zoo.parity import draw


def undrawn(text: str) -> nn.Module:
    """Return the model of a spec, evaluating, with its first values."""
    return runtime.build(compile_text(f"spec: 1\n{text}")).eval()


def built(text: str) -> nn.Module:
    """Return the model of a spec, evaluating, with random values in all of its tensors."""
    return draw(undrawn(text))


def graph(path: Path) -> Any:
    """Return the graph of a file of ONNX."""
    import onnx

    return onnx.load(path).graph


def tensors(path: Path) -> dict[str, Any]:
    """Return the initializers of a file of ONNX, by their names."""
    from onnx import numpy_helper

    return {each.name: numpy_helper.to_array(each) for each in graph(path).initializer}


def shapes(values: Any) -> dict[str, list[int | str]]:
    """Return the shapes of inputs or outputs, an open dimension by its name."""
    return {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in values
    }
