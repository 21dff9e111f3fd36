"""Names that a user chose, among those that the emitted file uses itself."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from tests.zoo.parity import stand_alone

MODEL = """
spec: 1
name: {name}
inputs: {{x: "float[batch, 4]"}}
blocks:
  Block(width): ["Linear(width)", relu]
model: [Block(4), Block(8)]
"""


@pytest.mark.parametrize(
    "name", ["f", "tensor", "ordered_dict", "any", "block", "block_model", "relu", "none"]
)
def test_a_model_called_like_what_the_file_imports(name: str) -> None:
    artifact = compiler.compile_text(MODEL.format(name=name))
    model, alone = runtime.build(artifact), stand_alone(artifact)
    alone.load_state_dict(model.state_dict())
    assert type(model).__name__ == type(alone).__name__ == artifact.name
    x = torch.randn(2, 4)
    assert torch.equal(model(x), alone(x))


def test_a_block_called_like_the_model_leaves_it_its_name() -> None:
    artifact = compiler.compile_text("""
spec: 1
name: part
inputs: {x: "float[batch, 4]"}
blocks:
  Part: [ReLU]
  PartModel: [Linear(3)]
model: [Part, PartModel, Linear(2)]
""")
    assert artifact.name == "PartModel"
    assert list(runtime.build(artifact).state_dict()) == ["1.0.weight", "1.0.bias", "2.weight", "2.bias"]
