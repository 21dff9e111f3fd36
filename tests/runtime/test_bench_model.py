"""Times, memory and twins of `bench SPEC`: what is measured is what is there."""

from __future__ import annotations

import time
from copy import deepcopy
from statistics import median

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from runtime.bench_model import (
    ForwardError,
    Measured,
    batch_dimension,
    bench_model,
    clock_of,
    in_turns,
    memory,
    quartiles,
    tried,
    wins_from,
)
from runtime.twin import difference, load_by_name, shake

SPEC = 'spec: 1\ninputs: {x: "float32[batch, 100]"}\nmodel: [Linear(100), ReLU, ReLU, Linear(1)]\n'


class Sleep(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return x


def test_a_time_is_that_of_one_forward_and_a_ratio_that_of_one_round() -> None:
    artifact = compiler.compile_text(SPEC)
    (found,) = bench_model(artifact, {"cpu": Sleep(0.02)}, [4], {"cpu": Sleep(0.01)}, seconds=0.05)
    assert found.seconds >= 0.02
    assert min(found.twin_times) >= 0.01
    assert len(found.times) == len(found.twin_times) == len(found.ratios) >= 5
    assert found.throughput == pytest.approx(4 / found.seconds)


def test_on_the_cpu_a_ratio_is_one_of_cpu_time() -> None:
    """A twin that waits for something else is not slower for it."""

    class Works(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sum(range(100_000))
            return x

    artifact = compiler.compile_text(SPEC)
    twin = nn.Sequential(Works(), Sleep(0.03))
    (found,) = bench_model(artifact, {"cpu": Works()}, [4], {"cpu": twin}, seconds=0.05)
    assert found.seconds < 0.5 * median(found.twin_times)
    assert median(found.ratios) > 0.6


def test_every_second_round_goes_backwards() -> None:
    order: list[str] = []

    def call(name: str) -> None:
        order.append(name)
        time.sleep(0.003)

    rounds = list(in_turns([lambda: call("a"), lambda: call("b")], 0.0, clock_of("cpu")))
    assert len(rounds) == 5
    assert "".join(order).endswith("abbaabbaab")


@pytest.mark.parametrize("batch", [1, 50])
def test_memory_is_the_model_its_inputs_and_the_most_that_is_held_at_once(batch: int) -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    weights, row = 4 * (100 * 100 + 100 + 100 + 1), 4 * 100 * batch
    found = memory(model, [torch.randn(batch, 100)], "cpu")
    assert found == weights + row + 2 * row  # two outputs of 100 at once, whatever else comes


def test_shared_tensors_are_counted_once() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    model[1].weight = model[0].weight
    assert memory(model, [torch.randn(1, 10)], "cpu") == 4 * (100 + 10 + 2 * 10)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ('x: "float32[rows, 3]"', "rows"),
        ('x: "float32[3, rows]"', None),
        ('x: "float32[time, batch, 3]"', "batch"),
        ('x: "float32[2, 3]", y: "float32[n]"', "n"),
    ],
)
def test_the_batch_is_the_dimension_of_that_name_or_one_that_comes_first(
    inputs: str, name: str | None
) -> None:
    artifact = compiler.compile_text(
        f"spec: 1\ninputs: {{{inputs}}}\nmodel:\n  forward: |\n    return x * 2\n"
    )
    assert batch_dimension(artifact) == name


def test_a_forward_that_fails_says_where() -> None:
    with pytest.raises(ForwardError, match="on cpu, at batch 3") as caught:
        tried(nn.Linear(3, 3), [torch.zeros(4)], "cpu", 3)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_from_which_batch_on_a_device_wins() -> None:
    rows = [("cpu", 1, 1.0), ("cpu", 8, 2.0), ("cpu", 64, 9.0), ("a", 1, 3.0), ("a", 8, 1.9), ("a", 64, 3.0)]
    measured = [Measured(device, batch, (seconds,), 0) for device, batch, seconds in rows]
    assert wins_from(measured, "a") == 8
    assert wins_from([*measured, Measured("a", 64, (9.5,), 0)], "a") is None


def test_quartiles() -> None:
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)
    assert quartiles([1.0]) == (1.0, 1.0)


# --- twins ----------------------------------------------------------------------------------------------


def pair() -> tuple[nn.Module, nn.Module]:
    return (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)) for _ in range(2))  # type: ignore[return-value]


def test_values_are_loaded_by_name() -> None:
    model, twin = pair()
    shake(model, 0)
    assert load_by_name(model, twin) is None
    x = torch.randn(5, 3)
    assert difference(model(x), twin(x)) is None


def test_shaken_values_are_all_moved_a_little() -> None:
    model, _ = pair()
    before = deepcopy(model.state_dict())
    shake(model, 0)
    for name, tensor in model.state_dict().items():
        moved = (tensor - before[name]).abs()
        assert moved.max() < 0.1
        assert (moved > 0).all()


def test_other_names_and_shapes_are_told() -> None:
    model, twin = pair()
    assert load_by_name(model, nn.Linear(3, 4)) == "`0.weight` is only in the model"
    assert load_by_name(model, nn.Sequential(*twin, nn.Linear(2, 2))) == "`2.weight` is only in the reference"
    twin[0] = nn.Linear(5, 4)  # type: ignore[operator]
    assert (
        load_by_name(model, twin)
        == "`0.weight` is float32[4, 3] in the model and float32[4, 5] in the reference"
    )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (torch.ones(3) * (1 + 1e-6), None),
        (torch.ones(3) * 1.001, "the output differs by up to 0.001, where its values go up to 1"),
        (
            torch.ones(3, dtype=torch.float64),
            "the output is float32[3], and that of the reference float64[3]",
        ),
        (torch.tensor([1.0, 1.0, torch.nan]), "the output is NaN at other places"),
        ((torch.ones(3), torch.ones(3)), "the model returns 1 value, and the reference 2 values"),
        (3, "the output is float32[3], and that of the reference int"),
        ({"a": torch.ones(3)}, None),
    ],
)
def test_what_differs(other: object, said: str | None) -> None:
    assert difference(torch.ones(3), other) == said


def test_shapes_alone_are_compared_where_values_cannot_be_the_same() -> None:
    assert difference(torch.ones(3), torch.zeros(3), of_values=False) is None
    assert difference(torch.ones(3), torch.zeros(2), of_values=False) is not None


def test_whole_numbers_are_counted() -> None:
    said = difference((torch.arange(4), torch.ones(1)), (torch.tensor([0, 1, 2, 9]), torch.ones(1)))
    assert said == "output 0 differs in 1 of 4 values"
