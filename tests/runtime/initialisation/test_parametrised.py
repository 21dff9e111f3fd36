"""Layers of plugins that parametrise a part of them, or themselves: torch then derives a class of its own."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.catalogue.plugins import Plugin, load_plugin
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_short

PLUGIN = """
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from compiler.plugins import layer

class Base(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight)

class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT

@layer
class Normed(Base):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        parametrizations.weight_norm(self)

@layer
class Bounded(nn.Linear):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, 3)
        parametrizations.spectral_norm(self)

@layer
class Own(Base):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        parametrize.register_parametrization(self, "weight", Symmetric())

@layer
class Inside(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.fc = parametrizations.weight_norm(nn.Linear(in_features, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)

@layer
class Orthogonal(nn.Module):
    def __init__(self, in_features: int, where: str = "meta") -> None:
        super().__init__()
        self.fc = parametrizations.orthogonal(nn.Linear(in_features, 8, device=None if where == "meta" else where))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)

@layer
class Branch(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x
"""
ON_CPU = "Orthogonal(where='cpu')"
X = torch.linspace(-1, 1, 24).reshape(3, 8)


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN, "utf-8")
    return load_plugin(str(path))


def spec(layer: str, more: str = "") -> str:
    return f'spec: 1\nrequires: [mine]\ninputs: {{x: "float[batch, 8]"}}\nmodel: ["{layer}"]\n{more}'


def twin(plugin: Plugin, layer: str) -> nn.Module:
    made: nn.Module = plugin.layers[layer.partition("(")[0]].cls(8, *(["cpu"] if layer == ON_CPU else []))
    return made


@pytest.mark.parametrize("layer", ["Normed", "Bounded", "Own", "Inside", ON_CPU])
def test_it_is_what_its_constructor_makes(layer: str, plugin: Plugin, tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(spec(layer), plugins=[plugin]), seed=3)
    own = twin(plugin, layer)
    assert type(model[0]).__mro__[1:] == type(own).__mro__[1:]
    own.load_state_dict(model[0].state_dict())
    results: list[Tensor] = []
    for each in (own, model, copy.deepcopy(model)):
        y = each(X)
        y.square().sum().backward()
        results.append(y)
        assert all(parameter.grad is not None for parameter in each.parameters())
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    runtime.save(model, tmp_path / "model")
    loaded = runtime.load(tmp_path / "model", plugins=[plugin])
    assert torch.equal(loaded.eval()(X), model.eval()(X))


def test_its_own_values_hold_what_the_parametrisation_promises(plugin: Plugin) -> None:
    model = runtime.build(compiler.compile_text(spec(ON_CPU), plugins=[plugin]))
    weight = model.get_submodule("0.fc").weight
    assert torch.allclose(weight @ weight.mT, torch.eye(8), atol=1e-5)


def test_rules_know_it_by_the_name_of_its_class(plugin: Plugin) -> None:
    text = spec("Normed", "init:\n  - Normed.parametrizations.weight.original1: ones\nfreeze: [Normed]\n")
    model = runtime.build(compiler.compile_text(text, plugins=[plugin]))
    assert torch.equal(model.get_parameter("0.parametrizations.weight.original1"), torch.ones(8, 8))
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "Orthogonal",
            "spec.yaml:4:10: error[needs-values]: the constructor of `Orthogonal` looks at the values of a tensor, and "
            "there are none while shapes are inferred",
        ),
        (
            "Branch",
            "spec.yaml:4:10: error[needs-values]: `Branch` looks at the values of a tensor, and there are none while "
            "shapes are inferred",
        ),
    ],
)
def test_what_looks_at_values_is_told_so(layer: str, message: str, plugin: Plugin) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(spec(layer), plugins=[plugin])
    assert message in render_short(caught.value.diagnostics, DEFAULT_LIMITS)
    (found,) = caught.value.diagnostics
    assert found.notes[0] == "torch says: item() cannot be called on meta tensors"
    assert found.help
