"""Parametrisations that plugins register, beside modules that are parametrised by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.artifact import key_of
from compiler.catalogue.decorators import parametrization
from compiler.catalogue.plugins import Plugin, PluginError, Registry, load_plugin
from compiler.rules.provenance import Provenance
from tests.emitted_file import run_file

NAME = "blockprint_test_stored"
PLUGIN = '''
import torch
from torch import Tensor, nn
from compiler.plugins import operation, parametrization

@parametrization
class Symmetric(nn.Module):
    """A symmetric matrix, of the triangle above its diagonal."""

    def forward(self, triangle: Tensor) -> Tensor:
        return triangle.triu() + triangle.triu(1).mT

    def right_inverse(self, matrix: Tensor) -> Tensor:
        return matrix.triu()

@parametrization("Bounded")
class _Tanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

@parametrization
class Adapted(nn.Module):
    def __init__(self, weight: Tensor, rank: int, scale: float = 1.0) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(weight.shape[0], rank, dtype=weight.dtype))
        self.down = nn.Linear(weight.shape[1], rank, bias=False, dtype=weight.dtype)
        self.register_buffer("mask", torch.arange(weight.shape[0]).unsqueeze(-1) % 2 == 0)
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * self.mask * (self.up @ self.down.weight)

@parametrization
class Outer(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left.unsqueeze(-1) * right

    def right_inverse(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        return matrix.norm(dim=1), matrix / matrix.norm(dim=1, keepdim=True)

@parametrization
class Wrong(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        if how == "unsaved":
            self.register_buffer("step", torch.ones(1), persistent=False)
        if how == "constructor":
            raise ValueError("there is nothing like it")

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "looks":
            return x * x.sum().item()
        return {"shape": x.mT, "dtype": x.double()}.get(self.how, x)

    def right_inverse(self, x: Tensor) -> Tensor:
        if self.how == "value" and not x.is_meta:
            raise ValueError("the matrix is not positive")
        return x
'''
SPEC = f"""
spec: 1
requires: [{NAME}]
inputs: {{x: "float32[batch, 6]"}}
vars: {{rank: 2}}
model:
  - a: Linear(6)
  - b: Linear(4)
  - rest: [Tanh, Linear(6), Linear(6)]
  - c: Linear(3)
parametrize:
  - a: Symmetric
  - b.weight: Adapted(rank, scale=0.5)
  - rest: Bounded
  - c: Outer
init: [a.weight: normal(std=0.5)]
"""
X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write the plugin, which an emitted file imports by its name."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / f"{NAME}.py").write_text(PLUGIN, "utf-8")
    sys.path.insert(0, str(folder))
    yield folder / f"{NAME}.py"
    sys.path.remove(str(folder))
    sys.modules.pop(NAME, None)


@pytest.fixture(scope="module")
def plugin(path: Path) -> Plugin:
    return load_plugin(str(path))


@pytest.fixture(scope="module")
def artifact(plugin: Plugin) -> Artifact:
    return compiler.compile_text(SPEC, plugins=[plugin])


class ByHand(nn.Module):
    def __init__(self, plugin: Plugin) -> None:
        super().__init__()
        made: Any = {name: each.cls for name, each in plugin.parametrizations.items()}
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 4)
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(4, 6), nn.Linear(6, 6))
        self.c = nn.Linear(6, 3)
        register_parametrization(self.a, "weight", made["Symmetric"]())
        register_parametrization(self.b, "weight", made["Adapted"](self.b.weight, 2, 0.5))
        for layer in self.rest[1:]:
            register_parametrization(layer, "weight", made["Bounded"]())
        register_parametrization(self.c, "weight", made["Outer"]())

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.rest(self.b(self.a(x))))


def of_file(artifact: Artifact) -> nn.Module:
    return run_file(artifact.source, "Spec")


MAKERS = pytest.mark.parametrize("make", [runtime.build, of_file])


@MAKERS
def test_a_model_is_equal_to_one_by_hand(
    make: Callable[[Artifact], nn.Module], artifact: Artifact, plugin: Plugin
) -> None:
    model, theirs = make(artifact), ByHand(plugin)
    assert list(model.state_dict()) == list(theirs.state_dict()) == [row.name for row in artifact.plan.rows]
    for ours, other in zip(model.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert (ours.shape, ours.dtype) == (other.shape, other.dtype)
    theirs.load_state_dict(model.state_dict())
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, theirs)]
    for _ in range(3):
        outputs = [each(X) for each in (model, theirs)]
        assert torch.equal(*outputs)
        for output, optimizer in zip(outputs, optimizers, strict=True):
            optimizer.zero_grad()
            output.square().mean().backward()
            optimizer.step()
    gradients = {name: each.grad for name, each in theirs.named_parameters()}
    assert "b.parametrizations.weight.0.down.weight" in gradients
    torch.testing.assert_close({name: each.grad for name, each in model.named_parameters()}, gradients)


def test_a_rule_gives_the_value_that_is_taken_apart(artifact: Artifact, plugin: Plugin) -> None:
    text = SPEC[: SPEC.index("parametrize:")] + SPEC[SPEC.index("init:") :]
    model, plain = (runtime.build(each) for each in (artifact, compiler.compile_text(text, plugins=[plugin])))
    held = {name: each.parametrizations.weight for name, each in model.named_children() if name != "rest"}
    assert torch.equal(held["a"].original, plain.a.weight.triu())
    torch.testing.assert_close(model.c.weight, plain.c.weight)
    bounded = model.rest[1].parametrizations.weight.original
    assert torch.equal(bounded, plain.rest[1].weight)  # without `right_inverse` it is what is stored


def test_values_follow_from_the_seed_alone(artifact: Artifact) -> None:
    one, two, other = (runtime.build(artifact, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(two[name], each) for name, each in one.items())
    up = "b.parametrizations.weight.0.up"
    assert not torch.equal(one[up], other[up])
    assert torch.equal(runtime.initial_values(artifact, up, seed=3)[up], one[up])


def test_explain_names_the_rule_that_makes_own_state(artifact: Artifact) -> None:
    row = artifact.plan.by_name["b.parametrizations.weight.0.up"]
    assert [each.section for each in row.decisions] == ["parametrize"]
    (size, _) = Provenance(artifact.inferred).stored_sizes(row)
    assert [(each.text, each.where()) for each in size.origins] == [("as Adapted makes it", "spec.yaml:13")]


def test_it_is_saved_and_loaded(artifact: Artifact, plugin: Plugin, tmp_path: Path) -> None:
    model, other = (runtime.build(artifact, seed=seed) for seed in (0, 1))
    runtime.save(model, tmp_path / "model.safetensors")
    loaded = runtime.load(tmp_path / "model.safetensors", plugins=[plugin])
    assert torch.equal(loaded(X), model(X))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(X), model(X))
    with pytest.raises(SpecError) as caught:
        runtime.load(tmp_path / "model.safetensors")
    assert [each.code for each in caught.value.diagnostics] == ["missing-plugin"]


@MAKERS
def test_what_is_frozen_is_frozen_whole(make: Callable[[Artifact], nn.Module], plugin: Plugin) -> None:
    model = make(compiler.compile_text(f"{SPEC}freeze: [b.weight, c]\n", plugins=[plugin]))
    still = {name for name, each in model.named_parameters() if not each.requires_grad}
    inside = ("original", "0.up", "0.down.weight")
    assert still == {
        *(f"b.parametrizations.weight.{each}" for each in inside),
        *("c.bias", "c.parametrizations.weight.original0", "c.parametrizations.weight.original1"),
    }


@MAKERS
def test_layers_that_are_parametrised_alike_are_shared(
    make: Callable[[Artifact], nn.Module], plugin: Plugin
) -> None:
    text = SPEC.replace("rest: Bounded", "rest.1: Bounded\n  - rest.2: Symmetric")
    model = make(compiler.compile_text(f"{text}share: {{one: [a, rest.2]}}\n", plugins=[plugin]))
    first = model.get_parameter("a.parametrizations.weight.original")
    assert first is model.get_parameter("rest.2.parametrizations.weight.original")


@MAKERS
def test_own_state_has_the_dtype_that_its_class_gives_it(
    make: Callable[[Artifact], nn.Module], plugin: Plugin
) -> None:
    text = SPEC.replace("float32[", "float[").replace("  - c: Outer\n", "")
    model = make(compiler.compile_text(f"{text}placement: [{{/: {{dtype: float64}}}}]\n", plugins=[plugin]))
    dtypes = {name.rpartition(".")[2]: each.dtype for name, each in model.b.state_dict().items()}
    assert dtypes.pop("mask") == torch.bool
    assert set(dtypes.values()) == {torch.float64}


def test_another_class_of_the_name_is_another_artifact(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.py").write_text(PLUGIN.replace("torch.tanh(x)", "torch.sin(x)"), "utf-8")
    other = compiler.compile_text(SPEC, plugins=[str(tmp_path / f"{NAME}.py")])
    assert key_of(*artifact.parts) != key_of(*other.parts)
    models = [runtime.build(each) for each in (artifact, other)]
    torch.testing.assert_close(
        models[1].rest[1].weight, models[0].rest[1].parametrizations.weight.original.sin()
    )


@pytest.mark.parametrize(
    ("rule", "code", "message"),
    [
        ("Symetric", "unknown-parametrization", "there is no parametrisation `Symetric`"),
        ("Tanh", "unknown-parametrization", "there is no parametrisation `Tanh`"),
        ("Adapted", "missing-argument", "`Adapted` needs `rank`"),
        ("Adapted(scale=2)", "missing-argument", "`Adapted` needs `rank`"),
        ("Adapted(2, 1, 3)", "too-many-arguments", "`Adapted` takes at most 2 arguments"),
        ("Adapted(2, rank=3)", "duplicate-argument", "`rank` is given twice"),
        ("Adapted(2, weight=3)", "unknown-argument", "`Adapted` has no argument `weight`"),
        ("Adapted('2')", "argument-type", "`rank` of `Adapted` takes an integer, and not '2'"),
        ("Adapted(-1)", "bad-parametrization", None),
        ("Wrong('shape')", "bad-parametrization", "it changes the shape from [4, 6] to [6, 4]"),
        ("Wrong('dtype')", "bad-parametrization", "it changes the dtype from float32 to float64"),
        ("Wrong('looks')", "bad-parametrization", "item() cannot be called on meta tensors"),
        ("Wrong('unsaved')", "bad-parametrization", "its buffer `step` is not saved"),
        ("Wrong('constructor')", "bad-parametrization", "there is nothing like it"),
    ],
)
def test_what_a_rule_may_say(rule: str, code: str, message: str | None, plugin: Plugin) -> None:
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(SPEC.replace("Adapted(rank, scale=0.5)", rule), plugins=[plugin])
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert (message or "") in found.message
    assert found.span.text in rule


def test_a_value_that_the_class_refuses(plugin: Plugin) -> None:
    text = SPEC.replace("Adapted(rank, scale=0.5)", "Wrong('value')")
    with pytest.raises(SpecError) as caught:
        runtime.build(compiler.compile_text(text, plugins=[plugin]))
    (found,) = caught.value.diagnostics
    assert found.message == "`Wrong` cannot stand for `b.weight`: the matrix is not positive"


def test_it_is_no_layer(plugin: Plugin) -> None:
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(SPEC.replace("[Tanh,", "[Symmetric,"), plugins=[plugin])
    (found,) = caught.value.diagnostics
    assert found.help == "a rule says which weights: `parametrize: [{Linear.weight: Symmetric}]`"


class Unannotated(nn.Module):
    def __init__(self, rank) -> None:  # type: ignore[no-untyped-def]
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Starred(Unannotated):
    def __init__(self, *ranks: int) -> None:
        super().__init__(ranks)


class Only(Unannotated):
    def __init__(self, rank: int, /) -> None:
        super().__init__(rank)


@pytest.mark.parametrize(
    ("mark", "target", "message"),
    [
        (parametrization, dict, "is for subclasses of torch.nn.Module, and dict is none"),
        (parametrization, nn.functional.relu, "is for subclasses of torch.nn.Module, and relu is none"),
        (parametrization("lower"), nn.ReLU, "the name of a parametrization must begin with an upper-case letter"),
        (parametrization, type("Empty", (nn.Module,), {}), "parametrization Empty: Empty has no forward"),
        (parametrization, Unannotated, "parametrization Unannotated: 'rank' needs an annotation"),
        (parametrization, Starred, "parametrization Starred: write out the arguments behind"),
        (parametrization, Only, "parametrization Only: 'rank' is given by its name: write no `/` behind it"),
    ],
)  # fmt: skip
def test_bad_registrations(mark: Callable[[Any], Any], target: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        mark(target)


def test_two_plugins_with_one_name(plugin: Plugin) -> None:
    registry = Registry()
    registry.add(plugin)
    with pytest.raises(PluginError, match="parametrization Symmetric has another plugin's name"):
        registry.add(Plugin("other", parametrizations={"Symmetric": plugin.parametrizations["Symmetric"]}))


def test_a_plugin_is_found_again_by_its_file(plugin: Plugin) -> None:
    again, arguments = plugin.__reduce__()
    assert again(*arguments) == plugin
