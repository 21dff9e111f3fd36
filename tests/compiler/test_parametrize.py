"""Weights that rules parametrise, beside modules that are parametrised by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import compiler
import runtime
from compiler import Artifact, SpecError
from spec_schema.selectors import parse_selector
from tests.emitted_file import run_file

SPEC = """
spec: 1
inputs: {image: "float32[batch, 3, 8, 8]"}
vars: {steps: 2}
blocks:
  Stage(width):
    layers: {conv: "Conv2d(width, 3)", up: "ConvTranspose2d(width, 2)"}
    forward: return up(leaky_relu(conv(x)))
model:
  layers: {first: Stage(4), h: {repeat: 2, of: Stage(5)}, head: [Flatten, Linear(2)]}
  forward: return head(h(first(image)))
"""
RULES = """
parametrize:
  - first: spectral_norm(n_power_iterations=steps)
  - {if: steps > 1, then: [{"h.*.conv.weight": weight_norm(dim=1)}]}
  - head.1.weight: weight_norm
"""
INIT = """
init:
  - ConvTranspose2d.weight: normal(std=0.1)
  - head: uniform(-1, 1)
"""


class Stage(nn.Module):
    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, width, 3)
        self.up = nn.ConvTranspose2d(width, width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(nn.functional.leaky_relu(self.conv(x)))


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Stage(3, 4)
        self.h = nn.Sequential(Stage(4, 5), Stage(5, 5))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(5 * 5 * 5, 2))
        spectral_norm(self.first.conv, n_power_iterations=2)
        spectral_norm(self.first.up, n_power_iterations=2)
        for stage in self.h:
            weight_norm(stage.conv, dim=1)
        weight_norm(self.head[1])

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.h(self.first(image)))


X = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compiler.compile_text(SPEC + RULES + INIT)


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    return runtime.build(compiler.compile_text(SPEC + INIT))


def assert_learns_alike(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.01) for each in (ours, theirs)]
    for training in (True, True, False):
        losses = [model.train(training)(X).square().mean() for model in (ours, theirs)]
        torch.testing.assert_close(*losses)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=1e-4, atol=1e-5)
    found = {name: each.grad for name, each in ours.named_parameters()}
    torch.testing.assert_close(
        found, {name: each.grad for name, each in theirs.named_parameters()}, rtol=1e-4, atol=1e-5
    )


def test_a_model_is_equal_to_one_by_hand(artifact: Artifact) -> None:
    model, theirs = runtime.build(artifact), ByHand()
    assert list(model.state_dict()) == list(theirs.state_dict()) == [row.name for row in artifact.plan.rows]
    shapes = {row.name: (row.kind, row.shape) for row in artifact.plan.rows}
    kinds = {name: "parameter" for name, _ in theirs.named_parameters()}
    assert shapes == {
        name: (kinds.get(name, "buffer"), tuple(each.shape)) for name, each in theirs.state_dict().items()
    }
    assert_learns_alike(model, theirs)


def test_so_is_the_emitted_file_alone(artifact: Artifact) -> None:
    model = run_file(artifact.source, "Spec")
    assert list(model.state_dict()) == list(ByHand().state_dict())
    assert_learns_alike(model, ByHand())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: torch.compile(model, backend="aot_eager")])
def test_so_are_a_copy_and_a_compiled_model(
    artifact: Artifact, copied: Callable[[nn.Module], nn.Module]
) -> None:
    model = runtime.build(artifact).eval()
    torch.testing.assert_close(copied(model)(X), model(X))


def test_the_weights_are_those_without_the_rules(artifact: Artifact, plain: nn.Module) -> None:
    model = runtime.build(artifact).eval()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = plain.get_parameter(f"{name}.weight")
            stored = layer.parametrizations.weight if hasattr(layer, "parametrizations") else None
            bounded = stored is not None and hasattr(stored, "original")
            torch.testing.assert_close(stored.original if bounded else layer.weight, weight)
    matrix = model.first.conv.weight.flatten(1)
    torch.testing.assert_close(torch.linalg.matrix_norm(matrix, 2), torch.tensor(1.0), rtol=0.01, atol=0)


def test_the_emitted_file_has_the_laws_of_the_plain_weights(artifact: Artifact) -> None:
    torch.manual_seed(0)
    model = run_file(artifact.source, "Spec")
    assert model.first.up.parametrizations.weight.original.std().item() == pytest.approx(0.1, rel=0.3)
    assert model.head[1].weight.abs().max().item() == pytest.approx(1, rel=0.1)
    assert artifact.source.count("nn.utils.parametrizations.") == 5


def test_values_follow_from_the_seed_alone(artifact: Artifact) -> None:
    one, two = (runtime.build(artifact, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(two[name], each) for name, each in one.items())
    part = runtime.initial_values(artifact, "head", seed=3)
    assert all(torch.equal(one[name], each) for name, each in part.items())
    assert not torch.equal(runtime.build(artifact, seed=4).state_dict()["first.conv.parametrizations.weight.0._u"],
                           one["first.conv.parametrizations.weight.0._u"])  # fmt: skip


def test_it_is_saved_and_loaded(artifact: Artifact, tmp_path: Path) -> None:
    model = runtime.build(artifact)
    model(X)
    runtime.save(model, tmp_path / "model.safetensors")
    loaded = runtime.load(tmp_path / "model.safetensors")
    assert torch.equal(loaded.eval()(X), model.eval()(X))
    other = runtime.build(artifact, seed=1)
    runtime.load_into(other, tmp_path / "model.safetensors")
    assert torch.equal(other.eval()(X), model(X))


def test_a_checkpoint_has_the_stored_names(tmp_path: Path) -> None:
    theirs = ByHand()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    artifact = compiler.compile_text(SPEC + RULES + "init: [/: checkpoint('theirs.safetensors')]\n")
    model = runtime.build(artifact, folder=tmp_path)
    torch.testing.assert_close(dict(model.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)


def test_selectors_find_what_is_stored_by_either_name(artifact: Artifact) -> None:
    found = [artifact.plan.select(parse_selector(text, None)) for text in ("head.1.weight", "**.original0")]
    assert [row.name.rpartition(".")[2] for row in found[0]] == ["original0", "original1"]
    assert len(found[1]) == 3


FROZEN = SPEC + RULES + "freeze: [first, h.0.conv.weight]\n"


@pytest.mark.parametrize("make", [runtime.build, lambda made: run_file(made.source, "Spec")])
def test_what_is_frozen_is_not_trained(make: Callable[[Artifact], nn.Module]) -> None:
    model = make(compiler.compile_text(FROZEN))
    still = {name for name, each in model.named_parameters() if not each.requires_grad}
    names = [
        f"first.{layer}.{each}"
        for layer in ("conv", "up")
        for each in ("bias", "parametrizations.weight.original")
    ]
    assert still == {*names, *(f"h.0.conv.parametrizations.weight.original{at}" for at in (0, 1))}


@pytest.mark.parametrize("make", [runtime.build, lambda made: run_file(made.source, "Spec")])
def test_whole_layers_are_shared(make: Callable[[Artifact], nn.Module]) -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model: [a: Linear(4), b: Linear(4), c: Linear(1)]
parametrize: [{"{a,b}": weight_norm}, {c: spectral_norm}]
share: {one: [a, b]}
"""
    artifact = compiler.compile_text(text)
    assert [row.names for row in artifact.plan.rows][1] == tuple(
        f"{name}.parametrizations.weight.original0" for name in "ab"
    )
    model, twin = (
        make(artifact),
        nn.Sequential(*[weight_norm(nn.Linear(4, 4))] * 2, spectral_norm(nn.Linear(4, 1))),
    )
    assert sum(each.numel() for each in model.parameters()) == sum(each.numel() for each in twin.parameters())
    assert model.a.parametrizations.weight.original0 is model.b.parametrizations.weight.original0
    x = torch.randn(3, 4)
    model.eval()(x).sum().backward()
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        ours.data.copy_(theirs)
    spectral = twin[2].parametrizations.weight[0]
    spectral._u.copy_(model.c.parametrizations.weight[0]._u)
    spectral._v.copy_(model.c.parametrizations.weight[0]._v)
    twin.eval()(x).sum().backward()
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_program_reads_the_weight() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model:
  layers: {up: Linear(4)}
  forward: return linear(up(x), up.weight.mT)
parametrize: [{up: spectral_norm}]
"""
    model = runtime.build(compiler.compile_text(text)).eval()
    x = torch.randn(3, 4)
    torch.testing.assert_close(model(x), model.up(x) @ model.up.weight)


@pytest.mark.parametrize(("count", "loop"), [(3, False), (7, True)])
def test_more_layers_than_a_few_are_gone_over_in_a_loop(count: int, loop: bool) -> None:
    layers = ", ".join(f"l{at}: Linear(4)" for at in range(count))
    text = f'spec: 1\ninputs: {{x: "float32[batch, 4]"}}\nmodel: [{layers}]\nparametrize: [{{Linear: weight_norm}}]\n'
    source = compiler.compile_text(text).source
    assert ("for layer in (self.l0, self.l1" in source) == loop
    assert source.count("weight_norm") == (1 if loop else count)


def test_a_variable_that_decides_how_many_layers_there_are_stays_no_argument() -> None:
    text = """
spec: 1
vars: {depth: 2, width: 4}
inputs: {x: "float32[batch, 4]"}
model: [h: {repeat: depth, of: Linear(width)}]
parametrize: [{Linear: weight_norm}]
"""
    source = compiler.compile_text(text).source
    assert "width: int = 4" in source
    assert "depth" not in source


def test_torch_layers_with_weights_of_other_names() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, time, 4]"}
model:
  layers: {attention: "MultiheadAttention(num_heads=2, batch_first=True)"}
  forward: |
    y, _ = attention(x, x, x)
    return y
parametrize: [{attention.in_proj_weight: weight_norm}, {attention.out_proj: spectral_norm}]
"""
    artifact = compiler.compile_text(text)
    model, theirs = runtime.build(artifact), nn.MultiheadAttention(4, 2, batch_first=True)
    weight_norm(theirs, "in_proj_weight")
    parametrizations.spectral_norm(theirs.out_proj)
    theirs.load_state_dict(model.attention.state_dict())
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(model(x), theirs(x, x, x)[0])
    alone = run_file(artifact.source, "Spec")
    alone.load_state_dict(model.state_dict())
    torch.testing.assert_close(alone.eval()(x), model.eval()(x))


def test_dtypes_and_devices_are_those_of_the_weight() -> None:
    text = SPEC.replace("float32[", "float[") + RULES + "placement: [{/: {dtype: float64, device: cpu}}]\n"
    artifact = compiler.compile_text(text)
    assert {row.dtype for row in artifact.plan.rows} == {torch.float64}
    assert runtime.build(artifact)(X.double()).dtype == torch.float64
    split = compiler.compile_text(SPEC + RULES + "placement: [{/: cpu}, {head: meta}]\n")
    devices = {row.name: row.device for row in split.plan.rows}
    assert {name for name, device in devices.items() if device == "meta"} == {
        name for name in devices if name.startswith("head.")
    }


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ("parametrize: [{head.2: weight_norm}]", "unused-rule"),
        ("parametrize: [{head.1.bias: spectral}]", "unknown-parametrization"),
        ("parametrize: [{head.1: nn.utils.weight_norm}]", "unknown-parametrization"),
        ("parametrize: [{head.1: 'weight_norm(0, 1)'}]", "too-many-arguments"),
        ("parametrize: [{head.1: 'weight_norm(0, dim=1)'}]", "duplicate-argument"),
        ("parametrize: [{head.1: weight_norm(axis=1)}]", "unknown-argument"),
        ("parametrize: [{head.1: weight_norm(dim=width)}]", "unknown-name"),
        ("parametrize: [{head.1: 'weight_norm(dim=[1])'}]", "argument-type"),
        ("parametrize: [{head.1: weight_norm(dim=9)}]", "bad-parametrization"),
        ("parametrize: [{head.1: spectral_norm(n_power_iterations=0)}]", "bad-parametrization"),
        ("parametrize: [{head.1: spectral_norm(n_power_iterations=10**9)}]", "costly-argument"),
        ("parametrize: [{head.1: spectral_norm}, {head: weight_norm}]", "double-parametrization"),
        ("parametrize: [{h.0: weight_norm}]\nshare: {a: [h.0.conv.bias, h.1.conv.bias]}", None),
        ("parametrize: [{h.0: weight_norm}]\nshare: {a: [h.0.up.weight, h.1.up.weight]}", "share-kinds"),
        ("parametrize: [{h: weight_norm}]\nshare: {a: [h.0.up.weight, h.1.up.weight]}", "share-kinds"),
        ("parametrize: [{h.0: weight_norm}]\nshare: {a: [h.0.up, h.1.up]}", "share-kinds"),
        ("parametrize: [{h: weight_norm}]\nshare: {a: [h.0.up, h.1.up]}", None),
        ("parametrize: {head: weight_norm}", "wrong-type"),
        ("parametrize: [head]", "wrong-type"),
    ],
)
def test_what_a_rule_may_say(rules: str, code: str | None) -> None:
    if code is None:
        runtime.build(compiler.compile_text(f"{SPEC}{rules}\n"))
        return
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(f"{SPEC}{rules}\n")
    assert [each.code for each in caught.value.diagnostics] == [code]


def test_one_dimension_is_parametrised_by_its_own_name_alone() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model: [Linear(4), LayerNorm]
parametrize: [{RULE: weight_norm}]
"""
    names = [
        [row.name for row in compiler.compile_text(text.replace("RULE", rule)).plan.rows]
        for rule in ("/", "LayerNorm.weight")
    ]
    assert "1.weight" in names[0]
    assert "0.parametrizations.weight.original0" in names[0]
    assert "1.parametrizations.weight.original0" in names[1]
