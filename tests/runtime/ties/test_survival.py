"""Ties survive whatever torch and the runtime do to a model as a whole."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import runtime
from runtime.classes import artifact_of
from tests.runtime.ties.tied_models import (
    ALBERT,
    TIED,
    artifact,
    build,
    equal,
    future,
    inputs,
    planned,
    sharing,
    values,
)

every = pytest.mark.parametrize("name", list(TIED))


def untied(model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict whose tensors have nothing in common, as that of an untied model has."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def pickled(model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict as torch gives it back from a file: tied tensors are different views of one memory."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    found: dict[str, Tensor] = torch.load(buffer, weights_only=True)  # noqa: TID251 - the way that is tested
    return found


def assert_tied(model: nn.Module) -> None:
    """Names are one as the plan says; gradients of all uses come together, and a step moves all names."""
    made = artifact_of(model)
    assert sharing(model) == planned(made)
    assert len(list(model.parameters())) == len(list(made.plan.parameters))
    dtype = next(model.parameters()).dtype
    given = [x.to(dtype) if x.is_floating_point() else x for x in inputs(made)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(*given).square().sum().backward()
    before = values(model)
    optimizer.step()
    for names in planned(made):
        now = [values(model)[name] for name in sorted(names)]
        assert all(torch.equal(now[0], each) for each in now)
    assert not equal(values(model), before)


CONVERSIONS: dict[str, Callable[[nn.Module], object]] = {
    "to(float64)": lambda model: model.to(torch.float64),
    "double": lambda model: model.double(),
    "to(bfloat16)": lambda model: model.to(torch.bfloat16),
    "to(device)": lambda model: model.to("cpu"),
    "share_memory": lambda model: model.share_memory(),
    "twice": lambda model: model.double().float(),
}


@every
@pytest.mark.parametrize("conversion", list(CONVERSIONS))
@pytest.mark.parametrize("flag", [None, "overwrite", "swap"])
def test_a_conversion(name: str, conversion: str, flag: str | None) -> None:
    model = build(name)
    expected = values(model)
    if flag is None:
        CONVERSIONS[conversion](model)
    else:
        with future(flag):
            CONVERSIONS[conversion](model)
    assert all(torch.equal(value, expected[key].to(value.dtype)) for key, value in values(model).items())
    assert_tied(model)


@every
def test_a_gradient_is_converted_with_its_parameter(name: str) -> None:
    model = build(name)
    model(*inputs(artifact_of(model))).sum().backward()
    expected = {key: p.grad.double() for key, p in model.named_parameters() if p.grad is not None}
    with future("overwrite"):
        model.double()
    assert {key for key, p in model.named_parameters() if p.grad is not None} == set(expected)
    assert all(torch.equal(model.get_parameter(key).grad, grad) for key, grad in expected.items())  # type: ignore[arg-type]


@every
@pytest.mark.parametrize("start", ["meta", "cpu"])
def test_to_empty(name: str, start: str) -> None:
    model = runtime.build(artifact(TIED[name]), device=start)
    model.to_empty(device="cpu")
    source = build(name, seed=3)
    model.load_state_dict(untied(source))
    assert equal(values(model), values(source))
    assert_tied(model)


@every
def test_a_deep_copy(name: str) -> None:
    model = build(name)
    twin = copy.deepcopy(copy.deepcopy(model))
    assert equal(values(twin), values(model))
    before = values(model)
    with future("overwrite"):
        twin.double()
    twin.load_state_dict(untied(twin), assign=True)
    assert_tied(twin)
    assert equal(values(model), before)
    assert sharing(model) == planned(artifact_of(model))


def test_a_copy_of_a_part_holds_nothing_else() -> None:
    model = build("words")
    head = copy.deepcopy(model.get_submodule("head"))
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    assert head.weight is not model.get_parameter("embedding.weight")
    assert not [each for each in vars(head).values() if isinstance(each, nn.Module)]


@every
@pytest.mark.parametrize("assign", [False, True], ids=["copy", "assign"])
@pytest.mark.parametrize("source", [untied, pickled, nn.Module.state_dict])
def test_all_names_are_loaded(
    name: str, assign: bool, source: Callable[[nn.Module], dict[str, Tensor]]
) -> None:
    model, other = build(name), build(name, seed=7)
    found = model.load_state_dict(source(other), assign=assign)
    assert found.missing_keys == found.unexpected_keys == []
    assert equal(values(model), values(other))
    assert_tied(model)


@every
@pytest.mark.parametrize("assign", [False, True], ids=["copy", "assign"])
@pytest.mark.parametrize("kept", [0, -1], ids=["first", "last"])
def test_one_name_is_loaded(name: str, assign: bool, kept: int) -> None:
    model, other = build(name), build(name, seed=7)
    state = untied(other)
    for row in artifact_of(other).plan.rows:
        for alias in set(row.names) - {row.names[kept]}:
            del state[alias]
    found = model.load_state_dict(state, assign=assign)
    assert found.missing_keys == found.unexpected_keys == []
    assert equal(values(model), values(other))
    assert_tied(model)


@every
@pytest.mark.parametrize("assign", [False, True], ids=["copy", "assign"])
def test_some_tensors_are_loaded(name: str, assign: bool) -> None:
    model, other = build(name), build(name, seed=7)
    owned = [row.name for row in artifact_of(other).plan.rows if len(row.names) > 1]
    found = model.load_state_dict({owned[0]: untied(other)[owned[0]]}, strict=False, assign=assign)
    expected = {**values(build(name)), **{k: values(other)[k] for k in _names(model, owned[0])}}
    assert equal(values(model), expected)
    counts = {
        each for each in model.state_dict() if each.endswith("num_batches_tracked")
    }  # torch fills them in
    assert set(found.missing_keys) == set(model.state_dict()) - counts - {owned[0]}
    assert len(found.missing_keys) == len(set(found.missing_keys))
    assert_tied(model)


@every
@pytest.mark.parametrize("wrapped", [False, True], ids=["itself", "in another"])
def test_safetensors_saves_and_loads_a_model(name: str, wrapped: bool, tmp_path: Path) -> None:
    """Its file holds one of the names, and it expects torch to miss the others."""
    model, other = build(name), build(name, seed=7)
    outer, source = (nn.ModuleDict({"model": each}) if wrapped else each for each in (model, other))
    safetensors.torch.save_model(source, str(tmp_path / "model.safetensors"))
    missing, unexpected = safetensors.torch.load_model(outer, tmp_path / "model.safetensors")
    assert not missing
    assert not unexpected
    assert equal(values(model), values(other))
    assert_tied(model)


def test_safetensors_refuses_a_file_that_lacks_a_tensor(tmp_path: Path) -> None:
    model = build("words")
    state = untied(model)
    del state["embedding.weight"], state["head.weight"]
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        safetensors.torch.load_model(model, tmp_path / "model.safetensors")


def test_assigned_tensors_replace_a_model_without_values() -> None:
    model = runtime.build(artifact(ALBERT), device="meta")
    source = build("albert", seed=5).double()
    model.load_state_dict(untied(source), assign=True)
    assert equal(values(model), values(source))
    assert_tied(model)


def test_loading_with_swapped_parameters() -> None:
    for assign in (False, True):
        model, other = build("words"), build("words", seed=7)
        with future("swap"):
            model.load_state_dict(untied(other), assign=assign)
        assert equal(values(model), values(other))
        assert_tied(model)


@every
def test_save_and_load(name: str, tmp_path: Path) -> None:
    model = build(name, seed=2)
    runtime.save(model, tmp_path / "model.safetensors")
    loaded = runtime.load(tmp_path / "model.safetensors", device="cpu")
    assert equal(values(loaded), values(model))
    other = build(name)
    runtime.load_into(other, tmp_path / "model.safetensors")
    assert equal(values(other), values(model))
    with future("overwrite"):
        loaded.double()
    for each in (loaded, other):
        assert_tied(each)


def test_a_wrapper_of_the_model() -> None:
    """The names have a prefix then, as in a training; conversions reach the model through its parent."""
    inner, other = build("words"), build("words", seed=7)
    wrapper, source = nn.ModuleDict({"model": inner}), nn.ModuleDict({"model": other})
    with future("overwrite"):
        wrapper.double()
    state = untied(source)
    del state["model.embedding.weight"]
    assert wrapper.load_state_dict(state, assign=True).missing_keys == []
    assert_tied(inner)


def test_a_part_that_holds_several_names() -> None:
    model, other = build("albert"), build("albert", seed=7)
    with future("overwrite"):
        model.get_submodule("h").double()
    state = untied(other.get_submodule("h"))
    model.get_submodule("h").load_state_dict(state, assign=True)
    assert sharing(model) == planned(artifact_of(model))
    state["7.up.bias"] += 1
    with pytest.raises(RuntimeError, match=r'"0\.up\.bias" and "7\.up\.bias" are one tensor'):
        model.get_submodule("h").load_state_dict(state)


def test_what_a_user_unties_stays_untied() -> None:
    """A new head is the most ordinary thing; what it holds is compared with nothing."""
    model = build("words")
    model.set_submodule("head", nn.Linear(4, 3))
    with future("overwrite"):
        model.double()
    state = untied(model)
    state["head.weight"] += 1
    model.load_state_dict(state, assign=True)
    assert torch.equal(model.get_parameter("head.weight"), state["head.weight"])
    assert sharing(model) == set()
    del state["embedding.weight"]
    assert model.load_state_dict(state, strict=False).missing_keys == ["embedding.weight"]


def test_a_lost_layer_is_no_trouble() -> None:
    model = build("words")
    model.set_submodule("head", nn.Identity())
    model.double()
    assert model.load_state_dict(untied(model)).unexpected_keys == []


def _names(model: nn.Module, name: str) -> set[str]:
    return set(artifact_of(model).plan.by_name[name].names)
