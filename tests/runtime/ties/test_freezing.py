"""What is frozen is not trained, keeps its running statistics, and stays so."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from runtime.classes import root_class
from runtime.training.optimizers import make_optimizer
from tests.runtime.ties.tied_models import artifact, planned, sharing, values

HEAD = """
spec: 1
name: frozen
inputs: {image: "float32[batch, 3, 8, 8]"}
dims: {batch: 4}
model:
  - backbone: ["Conv2d(8, 3)", BatchNorm2d, ReLU, "Dropout(0.5)", Flatten]
  - norm: BatchNorm1d
  - head: Linear(10)
"""
SPEC = HEAD + "freeze: [backbone]\n"
TRAIN = """
train:
  data: {file: a.npz, image: image, label: label}
  loss: cross_entropy(output, label)
  optimizer: "AdamW(lr=0.1, weight_decay=0.5)"
  batch: 2
  epochs: 1
"""
KEPT = {
    "backbone.0.weight",
    "backbone.0.bias",
    "backbone.1.weight",
    "backbone.1.bias",
    "backbone.1.running_mean",
    "backbone.1.running_var",
    "backbone.1.num_batches_tracked",
}


def build(text: str = SPEC) -> nn.Module:
    return runtime.build(artifact(text), seed=0, device="cpu")


def images(model: nn.Module) -> Tensor:
    return torch.randn(4, 3, 8, 8, dtype=next(model.parameters()).dtype)


def changed_by(model: nn.Module, act: Callable[[nn.Module], object]) -> set[str]:
    """Return the names of the tensors that an act on a model changes."""
    before = values(model)
    act(model)
    return {name for name, tensor in values(model).items() if not torch.equal(tensor, before[name])}


def step(model: nn.Module) -> None:
    """Train a step, with an optimiser that is given all parameters and pulls each one towards zero."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    model(images(model)).square().mean().backward()
    optimizer.step()


def loaded(model: nn.Module) -> nn.Module:
    model.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True)
    return model


def saved(model: nn.Module, folder: Path) -> nn.Module:
    runtime.save(model, folder / "model.safetensors")
    return runtime.load(folder / "model.safetensors", device="cpu", train=True)


def refilled(model: nn.Module) -> nn.Module:
    empty = runtime.build(artifact(SPEC), device="meta").to_empty(device="cpu")
    empty.load_state_dict(model.state_dict())
    return empty


WAYS: dict[str, Callable[[nn.Module, Path], nn.Module]] = {
    "built": lambda model, folder: model,
    "copied": lambda model, folder: copy.deepcopy(model),
    "cast": lambda model, folder: model.double(),
    "assigned": lambda model, folder: loaded(model),
    "saved": saved,
    "emptied": lambda model, folder: refilled(model),
    "evaluated and trained": lambda model, folder: model.eval().train(),
    "a part trained": lambda model, folder: model.get_submodule("backbone").train() and model,
    "a layer trained": lambda model, folder: model.get_submodule("backbone.1").train() and model,
    "wrapped": lambda model, folder: nn.Sequential(model).eval().train() and model,
}


@pytest.mark.parametrize("way", list(WAYS))
def test_a_step_changes_what_is_not_frozen_and_nothing_else(way: str, tmp_path: Path) -> None:
    model = WAYS[way](build(), tmp_path)
    assert model.training
    assert changed_by(model, step) == set(values(model)) - KEPT
    assert all(p.requires_grad == (p.grad is not None) for p in model.parameters())
    assert {name for name, p in model.named_parameters() if p.grad is None} == KEPT & set(
        dict(model.named_parameters())
    )
    assert not changed_by(model.eval(), lambda m: m(images(m)))


def test_statistics_are_used_in_training_as_they_are() -> None:
    model = build()
    norm = model.get_submodule("backbone.1")
    x = torch.randn(4, 8, 6, 6)
    assert torch.equal(
        norm(x), nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )  # type: ignore[arg-type]


def test_dropout_in_a_frozen_part_still_drops_while_the_model_trains() -> None:
    """Freezing concerns what is learned and kept. Noise is neither."""
    model = build()
    dropout = model.get_submodule("backbone.3")
    assert (dropout(torch.ones(1000)) == 0).any()
    model.eval()
    assert not (dropout(torch.ones(1000)) == 0).any()


def test_an_optimiser_of_a_training_has_no_state_for_it() -> None:
    made = compiler.compile_text(SPEC.replace("Dropout(0.5)", "Dropout(0)") + TRAIN)
    assert made.training is not None
    model = runtime.build(made, device="cpu")
    optimizer = make_optimizer(made.training, model)
    model(images(model)).square().mean().backward()
    optimizer.step()
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in optimizer.state} == {"norm.weight", "norm.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("[BatchNorm2d]", ["backbone.1"]),
        ("[/]", ["backbone.1", "norm"]),
        ("[BatchNorm1d.running_mean]", ["norm"]),
        ('["*.weight", "*.bias"]', []),
        ("[norm.weight]", []),
        ('["backbone.[0-2]", norm]', ["backbone.1", "norm"]),
    ],
)
def test_which_layers_keep_their_statistics(rules: str, kept: list[str]) -> None:
    """Those that a rule names, or of which it names the statistics; not those of which it names a weight."""
    model = build(f"{HEAD}freeze: {rules}\n")
    still = [name for name in ("backbone.1", "norm") if not model.get_submodule(name).training]
    assert still == kept
    changed = changed_by(model, lambda m: m(images(m)))
    assert {name.rpartition(".")[0] for name in changed} == {"backbone.1", "norm"} - set(kept)


def test_a_layer_without_parameters_has_statistics_all_the_same() -> None:
    text = SPEC.replace("BatchNorm2d", '"InstanceNorm2d(track_running_stats=True)"')
    model = build(text)
    assert not model.get_submodule("backbone.1").training
    assert not any("backbone.1" in name for name in changed_by(model, lambda m: m(images(m))))


def test_a_frozen_layer_that_is_shared() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model:
  layers: {h: {repeat: 3, of: [Linear(4), BatchNorm1d]}, end: Linear(1)}
  forward: return end(h(x))
share: {layer: ["h.*"]}
freeze: [h]
"""
    made = artifact(text)
    model = runtime.build(made, device="cpu")
    model.get_submodule("h").train()
    x = torch.randn(5, 4)
    assert sharing(model) == planned(made)
    assert not changed_by(model, lambda m: m(x))
    model(x).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["end.weight", "end.bias"]


def test_the_tools_of_torch_take_a_frozen_model() -> None:
    model = build(SPEC.replace('"Dropout(0.5)", ', "")).train()
    x = images(model)
    twin = copy.deepcopy(model)
    expected = twin(x)
    for made in (
        torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager"),
        torch.fx.symbolic_trace(copy.deepcopy(model)),
    ):
        assert torch.equal(made(x), expected)
    exported = torch.export.export(copy.deepcopy(model), (x,))
    assert torch.equal(exported.module()(x), expected)
    assert not KEPT & changed_by(model, lambda m: torch.compile(m, fullgraph=True, backend="eager")(x))


def test_the_emitted_class_alone_keeps_them_from_the_start() -> None:
    model = root_class(artifact(SPEC))()
    assert model.training
    assert changed_by(model, step) == set(values(model)) - KEPT


def test_a_model_whose_own_state_is_frozen_is_put_to_training_where_nothing_else_holds_it() -> None:
    made = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 3]"}
model:
  buffers: {mean: {tensor: "float[3]", init: zeros, updated: true}}
  layers: {drop: Dropout(0.5)}
  forward: |
    if training:
      mean = lerp(mean, x.mean(dim=0), 0.5)
    return drop(x - mean)
freeze: [mean]
""")
    model = runtime.build(made, device="cpu").train()
    assert not changed_by(model, lambda m: m(torch.randn(4, 3)))
    assert model.get_submodule("drop").training
