"""The parts of a training that need no training: schedules, optimisers and what a checkpoint holds."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

import compiler
from compiler.training.calls import optimizers, schedules
from compiler.training.section import Training
from runtime.files.header import FileError
from runtime.files.sealed import write_sealed
from runtime.training.checkpoints import SafeCheckpoints, read_checkpoint
from runtime.training.optimizers import make_optimizer
from runtime.training.schedule import Schedule, follows_length, make_schedule
from spec_schema.diagnostics import SpecError

SPEC = """
spec: 1
inputs: {{x: "float32[batch, 4]"}}
model:
  - Linear(4)
  - frozen: Linear(4, bias=False)
freeze: [frozen]
train:
  data: {{file: a.npz, x: x, y: y}}
  loss: mse_loss(output, y)
  optimizer: "{optimizer}"
  schedule: "{schedule}"
  batch: 2
  epochs: 10
"""
SCHEDULES = {
    "StepLR": "StepLR(step_size=2)",
    "MultiStepLR": "MultiStepLR(milestones=[2, 4])",
    "ExponentialLR": "ExponentialLR(gamma=0.9)",
    "SequentialLR": "SequentialLR([LinearLR(total_iters=3), CosineAnnealingLR], milestones=[3])",
    "ChainedScheduler": "ChainedScheduler([LinearLR(total_iters=3), ExponentialLR(gamma=0.9)])",
    "CyclicLR": "CyclicLR(base_lr=0.01, max_lr=0.1, step_size_up=4)",
    "OneCycleLR": "OneCycleLR(max_lr=0.1)",
    "CosineAnnealingWarmRestarts": "CosineAnnealingWarmRestarts(T_0=3)",
}


def training(optimizer: str = "SGD(lr=0.1, momentum=0.9)", schedule: str = "ConstantLR") -> Training:
    found = compiler.compile_text(SPEC.format(optimizer=optimizer, schedule=schedule)).training
    assert found is not None
    return found


def model() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[1].requires_grad_(False)
    return net


def made(found: Training, epochs: int | None = 10, steps: int = 40) -> tuple[torch.optim.Optimizer, Schedule]:
    optimizer = make_optimizer(found, model())
    assert found.schedule is not None
    return optimizer, make_schedule(found.schedule, optimizer, epochs, steps)


def rates(optimizer: torch.optim.Optimizer, schedule: Schedule, count: int) -> Iterator[float]:
    for _ in range(count):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        arguments = (1.0,) if isinstance(schedule.scheduler, ReduceLROnPlateau) else ()
        schedule.scheduler.step(*arguments)


@pytest.mark.parametrize("name", sorted(schedules().targets))
def test_every_schedule_goes_on_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    found = training(schedule=SCHEDULES.get(name, name))
    straight = list(rates(*made(found), 9))
    optimizer, schedule = made(found)
    first = list(rates(optimizer, schedule, 5))
    checkpoint = {"optimizer": optimizer.state_dict(), "schedule": schedule.state()}
    SafeCheckpoints().save_checkpoint(checkpoint, tmp_path / "file.safetensors")
    state = read_checkpoint(tmp_path / "file.safetensors")
    optimizer, schedule = made(found)
    optimizer.load_state_dict(state["optimizer"])
    schedule.scheduler.load_state_dict(state["schedule"])
    assert first + list(rates(optimizer, schedule, 4)) == straight
    assert name == "ReduceLROnPlateau" or len(set(straight)) > 1


def test_a_schedule_is_as_long_as_the_training() -> None:
    cosine = training(schedule="CosineAnnealingLR")
    found = list(rates(*made(cosine), 10))
    assert found == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 10)) for epoch in range(10)])
    assert made(cosine)[1].every == "epoch"
    assert made(cosine, epochs=None)[1].every == "step"
    one_cycle = training(schedule="OneCycleLR(max_lr=0.5)")
    assert made(one_cycle)[1].every == "step"
    assert max(rates(*made(one_cycle), 40)) == pytest.approx(0.5, abs=0.01)
    warm = training(schedule=SCHEDULES["SequentialLR"])
    found = list(rates(*made(warm), 10))
    assert found[3:] == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 7)) for epoch in range(7)])
    assert follows_length(cosine.schedule)
    assert follows_length(warm.schedule)
    assert not follows_length(training(schedule="CosineAnnealingLR(T_max=3)").schedule)


@pytest.mark.parametrize("name", sorted(optimizers().targets.keys() - {"SparseAdam", "LBFGS", "Muon"}))
def test_every_optimizer_has_state_for_what_is_trained_alone(name: str) -> None:
    net = model()
    before = [parameter.clone() for parameter in net.parameters()]
    optimizer = make_optimizer(training(optimizer=f"{name}(lr=0.1)"), net)
    net(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    assert all(parameter is net[0].weight for parameter in optimizer.state)
    assert not torch.equal(net[0].weight, before[0])
    assert torch.equal(net[1].weight, before[1])


def test_values_out_of_range_are_located() -> None:
    with pytest.raises(SpecError) as caught:
        make_optimizer(training(optimizer="SGD(lr=-1)"), model())
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.text == "SGD(lr=-1)"
    with pytest.raises(SpecError, match="milestones"):
        made(training(schedule="SequentialLR([LinearLR, CosineAnnealingLR], milestones=[1, 2, 3])"))


# Checkpoints.


def test_a_checkpoint_holds_what_was_put_in(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    value: dict[str, Any] = {
        "plain": [None, True, 3, 0.1, "text", float("inf")],
        "nested": {"tuple": (1, (2.5, "x")), 7: {0: shared.t()}, "empty": {}},
        "tensors": [shared, shared, torch.tensor(3), torch.zeros(0, 2), torch.zeros(0), torch.tensor(True)],
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    path = tmp_path / "checkpoint.safetensors"
    SafeCheckpoints().save_checkpoint(value, path)
    found = SafeCheckpoints().load_checkpoint(path)
    assert_equal(found, value)
    with safe_open(path, framework="pt") as file:
        assert len(list(file.keys())) == 8, "a tensor with two names is saved once"
    assert b"pickle" not in path.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(b, Tensor):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert torch.equal(a, b)
    elif isinstance(b, dict):
        assert list(a) == list(b)
        for key in b:
            assert_equal(a[key], b[key])
    elif isinstance(b, list | tuple):
        assert type(a) is type(b)
        for inner_a, inner_b in zip(a, b, strict=True):
            assert_equal(inner_a, inner_b)
    else:
        assert (type(a), a) == (type(b), b)


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    SafeCheckpoints().save_checkpoint({"epoch": 1}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="cannot hold a function"):
        SafeCheckpoints().save_checkpoint({"epoch": 2, "code": lambda: None}, path)
    assert path.read_bytes() == before

    def interrupted(stream: BinaryIO, *_: object) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("runtime.files.sealed.seal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        SafeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_state_that_makes_no_sense_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    states = ({"call": "print"}, {"tensor": "5"}, {"float": "x"}, {"dict": 3}, {"tuple": [], "dict": []})
    for state in states:
        write_sealed(path, "checkpoint", {"state": state}, {"0": torch.ones(1)})
        with pytest.raises(FileError):
            read_checkpoint(path)
