"""A block that contains itself as long as its arguments say so: a class that makes instances of itself."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import compiler
import runtime
from tests.emitted_file import run_file
from tests.type_checker import refusal

SPEC = """
spec: 1
name: stacked
vars: {depth: 3, width: 4}
inputs: {image: "float32[batch, 4, 16, 16]"}
blocks:
  Hourglass(depth, width):
    layers:
      up: Conv2d(width, 3, padding=1)
      down: Conv2d(2 * width, 3, padding=1, stride=2)
      inner: {if: depth > 1, then: "Hourglass(depth - 1, 2 * width)", else: "Conv2d(2 * width, 3, padding=1)"}
      last: Conv2d(width, 1)
    init: [/last.bias: constant(depth)]
    forward: |
      y = last(inner(relu(down(x))))
      return up(x) + interpolate(y, scale_factor=2)
  Even(n):
    - Linear(4)
    - {repeat: n, of: Odd(n - 1)}
  Odd(n):
    - {if: n > 0, then: Even(n - 1), else: Linear(3)}
model:
  layers: {hourglass: "Hourglass(depth, width)", tree: Even(2)}
  forward: return hourglass(image), tree(image)
"""


class Hourglass(nn.Module):
    def __init__(self, depth: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(in_channels, width, 3, padding=1)
        self.down = nn.Conv2d(in_channels, 2 * width, 3, padding=1, stride=2)
        self.inner: nn.Module = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        if depth > 1:
            self.inner = Hourglass(depth - 1, 2 * width, 2 * width)
        self.last = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.inner(torch.relu(self.down(x))))
        result: Tensor = self.up(x) + F.interpolate(y, scale_factor=2)
        return result


def test_keys_outputs_and_gradients_are_those_of_the_module_by_hand() -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu", seed=0)
    ours, by_hand = model.get_submodule("hourglass"), Hourglass(3, 4, 4)
    assert set(ours.state_dict()) == set(by_hand.state_dict())
    by_hand.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 16, 16)
    assert torch.equal(ours(x), by_hand(x))
    ours(x).square().sum().backward()
    by_hand(x).square().sum().backward()
    expected = dict(by_hand.named_parameters())
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, expected[name].grad), name  # type: ignore[arg-type]
    assert [ours.get_parameter(f"{'inner.' * at}last.bias")[0].item() for at in range(3)] == [3, 2, 1]


def test_it_is_one_class_in_a_file_of_its_own(tmp_path: Path) -> None:
    artifact = compiler.compile_text(SPEC)
    assert artifact.source.count("class Hourglass") == 1
    assert "Hourglass(depth - 1, 2 * width, in_channels=2 * width)" in artifact.source
    path = tmp_path / "stacked.py"
    path.write_text(artifact.source)
    assert refusal(tmp_path) == ""
    model = runtime.build(artifact, device="cpu", seed=0)
    alone = run_file(artifact.source, "Stacked")
    alone.load_state_dict(model.state_dict())
    x = torch.randn(2, 4, 16, 16)
    assert all(torch.equal(a, b) for a, b in zip(alone(x), model(x), strict=True))


def test_another_depth(tmp_path: Path) -> None:
    artifact = compiler.compile_text(SPEC, set={"depth": 1})
    model = runtime.build(artifact, device="cpu")
    assert "hourglass.inner.weight" in model.state_dict()
    runtime.save(copy.deepcopy(model), tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors")
    x = torch.randn(1, 4, 16, 16)
    assert torch.equal(again(x)[0], model(x)[0])


TOWER = """
spec: 1
inputs: {{x: "float32[batch, 4]"}}
blocks:
  Tower(n):
    - Linear(4)
    - {{if: n > 0, then: Tower(n - 1)}}
model: [Tower({0})]
"""


def test_as_deep_as_blocks_may_nest() -> None:
    model = runtime.build(compiler.compile_text(TOWER.format(30)), device="cpu")
    assert len(list(model.parameters())) == 2 * 31


@pytest.mark.parametrize(
    ("change", "code", "place", "message"),
    [
        (("n - 1", "n + 1"), "block-depth", "spec.yaml:7:28", "blocks are nested more than 32 deep"),
        (("n - 1", "n"), "block-cycle", "spec.yaml:7:28", "contains itself with the same arguments"),
        (
            ("if: n > 0, then", "residual"),
            "block-cycle",
            "spec.yaml:5:3",
            "the block `Tower` contains itself",
        ),
        (("n - 1", "n * 0.5"), "block-depth", "spec.yaml:7:28", "nested more than 32 deep"),
    ],
)
def test_what_does_not_end_is_refused_in_its_place(
    change: tuple[str, str], code: str, place: str, message: str
) -> None:
    text = TOWER.format(3).replace("n > 0", "n != 0.5").replace("{if: n != 0.5, then", "{if: n > 0, then")
    text = text.replace(*change).replace("n > 0", "n != 0.5")
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.span)) == (code, place)
    assert message in found.message


def test_too_many_of_them_are_counted_before_they_are_made() -> None:
    text = TOWER.format(25).replace("Tower(n - 1)}", "[Tower(n - 1), Tower(n - 1)]}")
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    assert caught.value.diagnostics[0].code == "too-many-modules"
