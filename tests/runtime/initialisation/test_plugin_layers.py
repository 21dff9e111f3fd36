"""Layers of plugins without rules: they draw their own first values, by seed and name all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from runtime.random import Draws
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_short

PLUGIN = """
import torch
from torch import Generator, Tensor, nn
from compiler.plugins import initializer, layer

made = []

@layer
class Scale(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.empty(in_features))
        self.shift = nn.Parameter(torch.randn(in_features))
        self.register_buffer("count", torch.tensor(3))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        made.append(self.factor.device.type)
        nn.init.uniform_(self.factor, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.shift

@layer
class Gate(nn.Module):
    "A residual branch that starts as nothing."
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.inner = nn.Linear(in_features, in_features)
        self.norm = nn.LayerNorm(in_features)
        nn.init.zeros_(self.inner.weight)
        nn.init.constant_(self.inner.bias, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(self.norm(x))

class Linear(nn.Module):
    "Bears the name of a layer of torch, and has another initialisation."
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((size, size), 7.0))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight

@layer("Seven")
class Renamed(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.own = Linear(in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.own(x)

@layer
class Tied(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Linear(in_features, in_features, bias=False) for _ in range(2))
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))

@layer
class Wavering(nn.Module):
    "Makes another tensor each time."
    sizes = [3, 3, 4, 5, 6]
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.zeros(self.sizes.pop(0)))

    def forward(self, x: Tensor) -> Tensor:
        return x

@initializer
def careless(shape: tuple[int, ...], *, generator: Generator) -> Tensor:
    return torch.randn(shape).requires_grad_()

KEPT = torch.ones(3, 3)

@initializer
def kept(shape: tuple[int, ...], *, generator: Generator) -> Tensor:
    return KEPT

@layer
class Keeping(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.p = nn.Parameter(KEPT)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.p

@initializer
def small(shape: tuple[int, ...], *, generator: Generator) -> Tensor:
    return torch.zeros(1)

@initializer
def nothing(shape: tuple[int, ...], *, generator: Generator) -> Tensor:
    return None
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "scales.py").write_text(PLUGIN)
    return str(tmp_path / "scales.py")


def build(plugin: str, model: str, rules: str = "", seed: int = 0) -> nn.Module:
    text = f'spec: 1\ninputs: {{x: "float32[batch, 3]"}}\nmodel: {model}\n{rules}'
    return runtime.build(compiler.compile_text(text, plugins=[plugin]), seed=seed, device="cpu")


def values(plugin: str, model: str, rules: str = "", seed: int = 0) -> dict[str, Tensor]:
    return build(plugin, model, rules, seed).state_dict()


def test_values_follow_from_seed_and_name(plugin: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (values(plugin, "[Scale, Scale]", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("factor", "shift"):
        assert torch.equal(first[f"0.{name}"], again[f"0.{name}"])
        assert not torch.equal(first[f"0.{name}"], first[f"1.{name}"])
        assert not torch.equal(first[f"0.{name}"], other[f"0.{name}"])
    assert 2 <= float(first["0.factor"].min()) <= float(first["0.factor"].max()) <= 3
    assert int(first["0.count"]) == 3


def test_values_are_those_of_the_constructor_under_the_generator_of_the_layers_name(plugin: str) -> None:
    found = values(plugin, "[{scale: Scale}]", seed=4)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    torch.set_rng_state(Draws(4, "scale").generator().get_state())
    factor, shift = torch.empty(3), torch.randn(3)
    nn.init.uniform_(factor, 2, 3)
    torch.set_rng_state(state)
    assert torch.equal(found["scale.factor"], factor)
    assert torch.equal(found["scale.shift"], shift)


def test_a_layer_is_made_once_for_all_of_its_tensors(plugin: str) -> None:
    text = 'spec: 1\ninputs: {x: "float32[batch, 3]"}\nmodel: [Scale, Scale]\n'
    artifact = compiler.compile_text(text, plugins=[plugin])
    made = artifact.program.scope.plugins.layers["Scale"].cls.reset_parameters.__globals__["made"]
    made.clear()
    runtime.build(artifact, device="cpu")
    assert sorted(made) == ["cpu", "cpu", "meta", "meta"]


def test_layers_of_torch_inside_it_start_as_it_says(plugin: str) -> None:
    found = values(plugin, "[Gate]")
    assert torch.equal(found["0.inner.weight"], torch.zeros(3, 3))
    assert torch.equal(found["0.inner.bias"], torch.full((3,), 3.0))
    assert torch.equal(found["0.norm.weight"], torch.ones(3))


def test_a_class_with_the_name_of_one_of_torch_is_not_that_one(plugin: str) -> None:
    assert torch.equal(values(plugin, "[Seven]")["0.own.weight"], torch.full((3, 3), 7.0))


def test_a_rule_of_the_spec_wins_and_the_rest_stays(plugin: str) -> None:
    free, ruled = values(plugin, "[Scale]"), values(plugin, "[Scale]", "init: [{factor: 5}]\n")
    assert torch.equal(ruled["0.factor"], torch.full((3,), 5.0))
    assert torch.equal(ruled["0.shift"], free["0.shift"])
    inner = values(plugin, "[Gate]", "init: [{Linear.weight: ones}]\n")
    assert torch.equal(inner["0.inner.weight"], torch.ones(3, 3))


def test_what_a_layer_ties_stays_tied(plugin: str, tmp_path: Path) -> None:
    model = build(plugin, "[Tied]")
    a, b = (model.get_parameter(f"0.{name}.weight") for name in "ab")
    assert a is b
    assert len(list(model.parameters())) == 1
    assert compiler.compile_text(
        'spec: 1\ninputs: {x: "float32[batch, 3]"}\nmodel: [Tied]\n', plugins=[plugin]
    ).plan.rows[0].names == ("0.a.weight", "0.b.weight")
    runtime.save(model, tmp_path / "tied.safetensors")
    again = runtime.load(tmp_path / "tied.safetensors", plugins=[plugin])
    assert again.get_parameter("0.a.weight") is again.get_parameter("0.b.weight")
    assert torch.equal(again.get_parameter("0.b.weight"), a)


def test_a_constructor_that_wavers_is_refused(plugin: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        build(plugin, "[Wavering]")
    assert "`Wavering` made a tensor of shape" in render_short(caught.value.diagnostics, DEFAULT_LIMITS)


def test_an_initialiser_that_draws_from_the_global_generator(plugin: str) -> None:
    before = torch.get_rng_state()
    rules = "init: [{weight: careless}]\n"
    first, again, other = (values(plugin, "[Linear(3), Linear(3)]", rules, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first["0.weight"], again["0.weight"])
    assert not torch.equal(first["0.weight"], first["1.weight"])
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_what_a_plugin_keeps_is_copied(plugin: str) -> None:
    """Two parameters would else lie in one place, and be trained as one."""
    model = build(plugin, "[Linear(3), Linear(3), Keeping, Keeping]", "init: [{weight: kept}]\n")
    parameters = [model.get_parameter(name) for name in ("0.weight", "1.weight", "2.p", "3.p")]
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            parameter.fill_(number)
        assert [float(parameter[0, 0]) for parameter in parameters] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "small",
            "spec.yaml:4:17: error[bad-initializer]: `small` returned a tensor of shape [1], not [3, 3]",
        ),
        ("nothing", "spec.yaml:4:17: error[bad-initializer]: `nothing` returned NoneType, not a tensor"),
    ],
)
def test_an_initialiser_that_gives_no_such_tensor(plugin: str, name: str, problem: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        build(plugin, "[Linear(3)]", f"init: [{{weight: {name}}}]\n")
    assert render_short(caught.value.diagnostics, DEFAULT_LIMITS).splitlines()[0] == problem


def test_a_raw_parameter_needs_a_rule() -> None:
    text = 'spec: 1\ninputs: {x: "float32[3]"}\nmodel:\n  parameters: {p: "float32[3]"}\n  forward: return x + p\n'
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    assert [problem.code for problem in caught.value.diagnostics] == ["missing-init"]
    runtime.build(compiler.compile_text(text + "init: [{p: 1}]\n"))
