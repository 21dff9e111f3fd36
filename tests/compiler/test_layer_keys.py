"""Keys of layers that are no names: those of published checkpoints."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.verify import VerificationError, verify
from tests.emitted_file import run_file

SPEC = """
spec: 1
name: published
inputs: {image: "float[batch, 3, 8, 8]"}
blocks:
  Mixed(width):
    parallel:
      1x1: Conv2d(width, 1)
      3x3-a: ["Conv2d(width, 1)", "Conv2d(width, 3, padding=1)"]
    combine: cat(dim=1)
  Again:
    - block1-0 as again: Conv2d(16, 1)
    - ReLU
    - again
model:
  layers:
    1x1 as mixed: Mixed(8)
    _bn as bn: BatchNorm2d
    copies-1 as copies: {repeat: 2, of: "Conv2d(16, 1)"}
    again: Again
    tie-a as one: Linear(4)
    tie-b as two: Linear(4)
    _fc as fc: Linear(4, bias=False)
  forward: |
    x = again(copies(bn(mixed(image))))
    for layer in copies:
      x = layer(x)
    x = x.mean(dim=[2, 3])
    return fc(x) + linear(x, fc.weight) + one(x) * two(x)
share: {tied: [tie-a, tie-b]}
init:
  - again.block1-0.weight: normal(std=0.5)
  - _fc.weight: ones
freeze: [copies-1]
"""


class Mixed(nn.ModuleDict):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.values()], dim=1)


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        branch = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1))
        self.add_module("1x1", Mixed({"1x1": nn.Conv2d(3, 8, 1), "3x3-a": branch}))
        self._bn = nn.BatchNorm2d(16)
        self.add_module("copies-1", nn.Sequential(nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)))
        self.again = nn.Module()
        self.again.add_module("block1-0", nn.Conv2d(16, 16, 1))
        self.add_module("tie-a", nn.Linear(16, 4))
        self.add_module("tie-b", self.get_submodule("tie-a"))
        self._fc = nn.Linear(16, 4, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        copies, again = self.get_submodule("copies-1"), self.again.get_submodule("block1-0")
        x = copies(self._bn(self.get_submodule("1x1")(image)))
        x = copies(again(torch.relu(again(x)))).mean(dim=[2, 3])
        one: Tensor = self.get_submodule("tie-a")(x)
        return 2 * self._fc(x) + one * one


def made() -> tuple[nn.Module, nn.Module, nn.Module]:
    artifact = compiler.compile_text(SPEC)
    model, by_hand = runtime.build(artifact, seed=0, device="cpu"), ByHand()
    by_hand.load_state_dict(model.state_dict())
    alone = run_file(artifact.source, artifact.name)
    alone.load_state_dict(model.state_dict())
    return model, by_hand, alone


def test_keys_outputs_and_gradients_are_those_of_a_module_written_by_hand() -> None:
    model, by_hand, alone = made()
    assert [*model.state_dict()] == [*by_hand.state_dict()] == [*alone.state_dict()]
    image = torch.randn(2, 3, 8, 8)
    for each in (model, alone):
        torch.testing.assert_close(each(image), by_hand(image))
        each.zero_grad()
        by_hand.zero_grad()
        each(image).square().sum().backward()
        by_hand(image).square().sum().backward()
        expected = dict(by_hand.named_parameters())
        for name, parameter in each.named_parameters():
            if name.startswith("copies-1"):
                assert parameter.grad is None
            else:
                torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-4)


def test_rules_and_files_know_the_keys(tmp_path: Path) -> None:
    model, _, alone = made()
    assert model.get_parameter("_fc.weight").eq(1).all()
    for each in (model, alone):
        assert each.get_submodule("tie-a") is each.get_submodule("tie-b")
    runtime.save(model, tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors")
    image = torch.randn(2, 3, 8, 8)
    assert torch.equal(again.eval()(image), model.cpu().eval()(image))


def test_a_layer_of_such_a_key_is_called_on_its_device() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  layers: {_fc as one: Linear(8), 1x1 as two: [a-1: Linear(8), ReLU]}
  forward: return two(one(x))
placement: [{_fc: cuda:0}, {1x1: cuda:1}]
""")
    assert 'self._fc(x).to(getattr(getattr(self, "1x1"), "a-1").weight.device)' in artifact.source


def test_a_rule_that_names_the_alias_is_told_the_key() -> None:
    spec = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  layers: {1x1 as reduce: Linear(8)}
  forward: return reduce(x)
init: [reduce.weight: ones]
"""
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(spec)
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("unused-rule", "did you mean `1x1.weight`? it matches 1 parameter")


@pytest.mark.parametrize(
    "layers",
    [
        "{1x1 as a: Linear(8), 1x1 as b: Linear(8)}",
        "{1x1 as a: Linear(8), 2x2 as a: Linear(8)}",
        "{a: Linear(8), 2x2 as a: Linear(8)}",
        "{a as b: Linear(8), b as a: Linear(8)}",
    ],
)
def test_a_key_and_a_name_are_those_of_one_layer(layers: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(
            f"""
spec: 1
inputs: {{x: "float[batch, 8]"}}
model:
  layers: {layers}
  forward: return a(x)
"""
        )
    assert {each.code for each in caught.value.diagnostics} == {"duplicate-name"}


@pytest.mark.parametrize(
    "written",
    [
        'getattr(self, "weight")',
        'getattr(self, "__class__")',
        'getattr(self, "1x1", None)',
        "getattr(self, name)",
        "getattr",
        "self._modules",
        "self.fc._parameters",
        "self.fc.weight._grad",
        "other._fc",
        "self.__dict__",
    ],
)
def test_the_verifier_lets_no_other_attribute_pass(written: str) -> None:
    verify(ast.parse('x = getattr(self, "1x1")(self._fc(self.a[0]._fc))'))
    verify(ast.parse('x = getattr(self.a, "1x1")._fc.weight'))
    with pytest.raises(VerificationError):
        verify(ast.parse(f"x = {written}"))


def test_a_number_is_the_key_of_a_layer_that_has_another_name() -> None:
    spec = """
spec: 1
inputs: {x: "float[batch, 3]"}
blocks:
  Added(width):
    layers: {0 as first: Linear(width), 1 as second: Linear(3)}
    forward: return x + second(first(x))
model:
  layers:
    0 as stem: Linear(3)
    body: [Added(4), Added(5)]
  forward: return body(stem(x))
init: [{body.1.0.weight: ones}]
"""
    artifact = compiler.compile_text(spec)
    model = runtime.build(artifact)
    alone = run_file(artifact.source, artifact.name)
    keys = [
        "0.weight",
        "0.bias",
        *(f"body.{a}.{b}.{c}" for a in "01" for b in "01" for c in ("weight", "bias")),
    ]
    assert list(model.state_dict()) == list(alone.state_dict()) == keys
    assert torch.equal(model.get_parameter("body.1.0.weight"), torch.ones(5, 3))
    alone.load_state_dict(model.state_dict())
    x = torch.randn(2, 3)
    first, second = model.body[0].get_submodule("0"), model.body[0].get_submodule("1")
    assert torch.equal(model.body[0](x), x + second(first(x)))
    assert torch.equal(model(x), alone(x))


@pytest.mark.parametrize("model", ["{layers: {'0': Linear(3)}}", "[0 as first: Linear(3), first]"])
def test_a_number_alone_and_of_an_item_is_no_key(model: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f'spec: 1\ninputs: {{x: "float[batch, 3]"}}\nmodel: {model}\n')
    assert {each.code for each in caught.value.diagnostics} == {"bad-name"}


def test_rules_reach_layers_by_their_numbers() -> None:
    spec = """
spec: 1
inputs: {x: "float[batch, 3]"}
model:
  layers: {0 as a: Linear(3), 1 as b: Linear(3), 2 as c: Linear(3), 3 as d: Linear(3), 4 as e: Linear(3)}
  forward: return e(d(c(b(a(x)))))
share: {one: [/0.weight, /1.weight, /2.weight, /3.weight]}
freeze: [/4.bias]
parametrize: [{/4.weight: weight_norm}]
"""
    artifact = compiler.compile_text(spec)
    model = runtime.build(artifact)
    alone = run_file(artifact.source, artifact.name)
    assert list(model.state_dict()) == list(alone.state_dict())
    assert model.get_parameter("0.weight") is model.get_parameter("3.weight")
    assert alone.get_parameter("0.weight") is alone.get_parameter("3.weight")
    assert not alone.get_parameter("4.bias").requires_grad
    assert "4.parametrizations.weight.original0" in alone.state_dict()
