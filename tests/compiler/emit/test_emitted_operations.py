"""Operations in layer positions, in emitted source: torch's own layers, or small classes with their arguments."""

from __future__ import annotations

import textwrap

import pytest
import torch

import compiler
import runtime
from compiler import Artifact
from tests.zoo.parity import stand_alone


def made(*items: str, shape: str = "[batch, 4, 8, 8]") -> Artifact:
    listed = "\n".join(f"  - {item}" for item in items)
    artifact = compiler.compile_text(f"spec: 1\ninputs: {{x: 'float{shape}'}}\nmodel:\n{listed}\n")
    model, x = runtime.build(artifact, seed=0), torch.randn(*runtime_shape(shape))
    for training in (True, False):
        torch.manual_seed(0)
        expected = model.train(training)(x)
        torch.manual_seed(0)
        assert torch.equal(stand_alone(artifact).train(training)(x), expected)
    return artifact


def runtime_shape(shape: str) -> list[int]:
    return [3 if part.strip() == "batch" else int(part) for part in shape.strip("[]").split(",")]


@pytest.mark.parametrize(
    ("written", "layer"),
    [
        ("relu", "nn.ReLU()"),
        ("flatten(1)", "nn.Flatten()"),
        ("flatten(start_dim=1)", "nn.Flatten()"),
        ("flatten", "nn.Flatten(start_dim=0)"),
        ("flatten(2)", "nn.Flatten(2)"),
        ("softmax(-1)", "nn.Softmax(-1)"),
        ("gelu(approximate='tanh')", "nn.GELU(approximate='tanh')".replace("'", '"')),
        ("max_pool2d(2, stride=1, ceil_mode=True)", "nn.MaxPool2d(2, stride=1, ceil_mode=True)"),
        ("unflatten(1, [2, 2])", "nn.Unflatten(1, [2, 2])"),
        ("dropout(0.25)", "nn.Dropout(0.25)"),
    ],
)
def test_the_layer_of_torch_stands_for_the_operation(written: str, layer: str) -> None:
    source = made(written).source
    assert layer in source
    assert source.count("class ") == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "permute([0, 2, 3, 1])",
            """
            class Permute(nn.Module):
                def __init__(self, dims: list[int]) -> None:
                    super().__init__()
                    self.dims = dims

                def forward(self, x: Tensor) -> Tensor:
                    return torch.permute(x, self.dims)
            """,
        ),
        (
            "rearrange('b (n c) h w -> b n c h w', n=2)",
            """
            class Rearrange(nn.Module):
                def __init__(self, pattern: str, n: int) -> None:
                    super().__init__()
                    self.pattern = pattern
                    self.n = n

                def forward(self, x: Tensor) -> Tensor:
                    return rearrange(x, self.pattern, n=self.n)
            """,
        ),
        (
            "dropout(0.25, training=True)",
            """
            class Dropout(nn.Module):
                def __init__(self, p: float, training: bool) -> None:
                    super().__init__()
                    self.p = p
                    self.training_ = training

                def forward(self, x: Tensor) -> Tensor:
                    return F.dropout(x, self.p, training=self.training_)
            """,
        ),
        (
            "square",
            """
            class Square(nn.Module):
                def forward(self, x: Tensor) -> Tensor:
                    return torch.square(x)
            """,
        ),
    ],
)
def test_a_small_class_has_the_names_of_the_arguments(written: str, expected: str) -> None:
    assert textwrap.dedent(expected).strip() in made(written).source


def test_one_class_for_each_way_to_call_an_operation() -> None:
    source = made(
        "rearrange('b c h w -> b h w c')",
        "rearrange('b h w c -> b c h w')",
        "rearrange('b (n c) h w -> b n c h w', n=2)",
        "rearrange('b n c h w -> b (n c) h w')",
    ).source
    assert source.count("class Rearrange") == 2


def test_an_axis_with_the_name_of_an_attribute() -> None:
    source = made("rearrange('b (half self) h w -> b half self h w', half=2, self=2)").source
    assert "def __init__(self, pattern: str, half: int, self_: int) -> None:" in source
    assert "rearrange(x, self.pattern, half=self.half_, self=self.self)" in source
