"""Buffers in emitted source have an annotation, without which a type checker takes them for modules."""

from __future__ import annotations

import ast

import pytest

import compiler
from compiler.emit.passes.attributes import annotate_attributes

CLASS = """
class Rotary(nn.Module):
    {doc}

    def __init__(self) -> None:
        self.register_buffer('angles', torch.ones(3), persistent=False)
        self.register_buffer('unread', torch.ones(3))
        self.bias = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.angles + self.bias
"""


def annotated(doc: str) -> list[str]:
    (cls,) = annotate_attributes(ast.parse(CLASS.format(doc=doc))).body
    assert isinstance(cls, ast.ClassDef)
    return [ast.unparse(statement) for statement in cls.body if not isinstance(statement, ast.FunctionDef)]


def test_a_buffer_that_is_read_is_a_tensor() -> None:
    assert annotated("") == ["angles: Tensor"]


def test_the_annotation_stands_behind_the_docstring() -> None:
    assert annotated("'Says it.'") == ["'Says it.'", "angles: Tensor"]


@pytest.mark.parametrize("name", ["torch", "nn", "Tensor", "input", "max"])
def test_a_buffer_with_a_name_that_means_something_else(name: str) -> None:
    artifact = compiler.compile_text(f"""
spec: 1
inputs: {{x: "float[batch, 4]"}}
model:
  buffers: {{{name}: {{value: "ones(4)"}}}}
  forward: return x * {name}
""")
    assert f"self.{name}" in artifact.source
    assert f"{name}: Tensor" not in artifact.source


@pytest.mark.parametrize(
    ("then", "otherwise", "expected"),
    [
        ("LayerNorm(8)", "BatchNorm1d(8) if first else Identity()", True),
        ("BatchNorm1d(8) if first else Identity()", "LayerNorm(8)", True),
        ("LayerNorm(8)", "LayerNorm(9)", False),
    ],
)
def test_a_layer_of_several_classes_is_a_module(then: str, otherwise: str, expected: bool) -> None:
    tree = ast.parse(
        f"class Layer:\n def __init__(self):\n  if pre: self.n = {then}\n  else: self.n = {otherwise}"
    )
    assert ("self.n: nn.Module" in ast.unparse(annotate_attributes(tree))) is expected
