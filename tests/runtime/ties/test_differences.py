"""Different values under tied names are refused, with both names and the size of the difference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import runtime
from runtime.ties import TieError
from tests.runtime.ties.tied_models import WORDS, artifact, build, equal, planned, sharing, values

NAN = float("nan")


def separate(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [False, True], ids=["copy", "assign"])
def test_all_differences_are_listed_and_the_model_is_untouched(strict: bool, assign: bool) -> None:
    model = build("albert")
    before, held = values(model), dict(model.named_parameters(remove_duplicate=False))
    state = {name: tensor + 1 for name, tensor in separate(model).items()}
    state["head.weight"][3, 1] += 0.25
    state["head.weight"][4, 1] -= 0.5
    state["h.7.up.bias"][2] += 0.125
    with pytest.raises(TieError) as error:
        model.load_state_dict(state, strict=strict, assign=assign)
    assert str(error.value).split("\n\t") == [
        "Error(s) in loading state_dict for Albert:",
        '"embedding.weight" and "head.weight" are one tensor, and differ in 2 of 44 values, by up to 0.5',
        '"h.0.up.bias" and "h.7.up.bias" are one tensor, and differ in 1 of 8 values, by up to 0.125',
    ]
    assert isinstance(error.value, RuntimeError)  # as all that torch refuses to load
    assert equal(values(model), before)
    assert all(p is held[name] for name, p in model.named_parameters(remove_duplicate=False))


def test_the_names_have_the_prefix_of_a_wrapper() -> None:
    wrapper = nn.ModuleDict({"student": build("words")})
    state = separate(wrapper)
    state["student.head.weight"] += 1
    with pytest.raises(
        RuntimeError, match=r'"student\.embedding\.weight" and "student\.head\.weight" are one'
    ):
        wrapper.load_state_dict(state)


def test_other_shapes_under_two_names() -> None:
    model = build("words")
    before = values(model)
    state = separate(model)
    state["head.weight"] = torch.zeros(12, 4)
    with pytest.raises(TieError, match=r"have the shapes \[11, 4\] and \[12, 4\]"):
        model.load_state_dict(state)
    assert equal(values(model), before)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.double(), None),
        (lambda t: t.to(torch.bfloat16), "differ in "),
        (lambda t: t.index_fill(0, torch.tensor([2]), NAN), "differ in 4 of 44 values, by up to nan"),
        (lambda t: t.index_fill(0, torch.tensor([2]), float("inf")), "by up to inf"),
        (lambda t: t.t().contiguous().t(), None),
    ],
    ids=["double", "bfloat16", "nan", "inf", "strides"],
)
def test_what_is_another_value(change: Callable[[Tensor], Tensor], said: str | None) -> None:
    model, other = build("words"), build("words", seed=4)
    state = separate(other)
    state["head.weight"] = change(state["head.weight"])
    if said is not None:
        with pytest.raises(TieError, match=said):
            model.load_state_dict(state)
        return
    model.load_state_dict(state)
    assert equal(values(model), values(other))


def test_torch_says_what_is_no_tensor() -> None:
    model = build("words")
    state = {**separate(model), "head.weight": [[0.0]]}
    with pytest.raises(RuntimeError, match=r'"head\.weight", expected torch\.Tensor'):
        model.load_state_dict(state)
    assert sharing(model) == planned(artifact(WORDS))


@pytest.mark.parametrize("value", [NAN, float("inf"), -0.0])
def test_equal_values_that_are_no_numbers(value: float) -> None:
    """A training that diverged can be looked at."""
    model = build("words")
    state = separate(model)
    for name in ("embedding.weight", "head.weight"):
        state[name].fill_(value)
    if value == 0:
        state["head.weight"].zero_()
    model.load_state_dict(state)
    found = model.get_parameter("head.weight")
    assert torch.equal(found.isnan(), state["head.weight"].isnan())
    assert found is model.get_parameter("embedding.weight")


def test_whole_numbers_and_buffers() -> None:
    model = build("statistics")
    state = separate(model)
    state["two.num_batches_tracked"] += 2**40
    state["two.running_var"] += 1
    with pytest.raises(TieError) as error:
        model.load_state_dict(state)
    assert [line.partition("differ")[2] for line in str(error.value).split("\n\t")[1:]] == [
        " in 4 of 4 values, by up to 1",
        " in 1 of 1 values, by up to 1.1e+12",
    ]


def test_tensors_without_values_are_assigned_as_one() -> None:
    model = build("words")
    with torch.device("meta"):
        state = {name: torch.empty(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    assert sharing(model) == planned(artifact(WORDS))


def test_a_model_whose_names_came_apart_is_not_saved(tmp_path: Path) -> None:
    """A load into one place alone unties it, as torch has it: no other place is known there."""
    model = build("words")
    head = model.get_submodule("head")
    head.load_state_dict({"weight": torch.zeros(11, 4)}, assign=True)
    assert sharing(model) == set()
    with pytest.raises(
        ValueError, match=r'"embedding\.weight" and "head\.weight" are one tensor, and differ in 44'
    ):
        runtime.save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_tie_is_loaded_in_place() -> None:
    model = build("words")
    model.get_submodule("head").load_state_dict({"weight": torch.zeros(11, 4)})
    assert not model.get_parameter("embedding.weight").any()
    assert sharing(model) == planned(artifact(WORDS))


def test_a_state_dict_is_left_as_it_was() -> None:
    model = build("albert")
    state = separate(build("albert", seed=1))
    del state["head.weight"]
    before = copy.deepcopy(state)
    model.load_state_dict(state, assign=True)
    assert list(state) == list(before)
    assert equal(state, before)
    assert not any(isinstance(tensor, nn.Parameter) for tensor in state.values())
