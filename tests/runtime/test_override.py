"""A training that goes on with another optimizer or schedule: what is new is new, and all else is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import compiler
from compiler.artifact import Artifact
from runtime.files.header import FileError
from runtime.train import train
from runtime.training.outcome import Trained
from runtime.training.override import memory_of, renewed_states
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN = """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.25}
  loss: cross_entropy(output, label)
  optimizer: SGD(lr=RATE, momentum=0.9)
  SCHEDULE
  batch: 12
  epochs: 4
"""
STEPPED = "schedule: MultiStepLR(milestones=[2], gamma=0.5)"
COSINE = "schedule: CosineAnnealingLR"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_points(tmp_path, 48)
    return tmp_path


def compiled(folder: Path, rate: str = "0.1", schedule: str = "", extra: str = "") -> Artifact:
    path = folder / "spec.yaml"
    section = TRAIN.replace("RATE", rate).replace("  SCHEDULE\n", f"  {schedule}\n" if schedule else "")
    path.write_text(f"{TINY.rstrip()}\n{extra}{section}")
    return compiler.compile(path)


def trained(folder: Path, artifact: Artifact, **options: object) -> Trained:
    return train(artifact, **{"out": folder / "out", "progress": False, **options})  # type: ignore[arg-type]


def rates(result: Trained) -> list[str]:
    head, *rows = [line.split(",") for line in result.log.read_text().splitlines()]
    return [row[head.index("lr")] for row in rows if row[head.index("lr")]]


def assert_same(a: Trained, b: Trained) -> None:
    for name, tensor in a.model.state_dict().items():
        assert torch.equal(tensor, b.model.state_dict()[name]), name


def test_the_command_that_is_offered_goes_on_with_the_new_rate(folder: Path) -> None:
    """It ends as a training whose schedule changes the rate at that epoch."""
    straight = trained(folder, compiled(folder, schedule=STEPPED), out=folder / "straight")
    half = trained(folder, compiled(folder), epochs=2)
    other = compiled(folder, "0.05")
    with pytest.raises(FileError) as caught:
        trained(folder, other, resume=half.checkpoint)
    message, note = str(caught.value).split("\n")
    assert message == "the checkpoint belongs to another spec: `spec.train.optimizer` differs"
    assert note.endswith(f"`--resume {half.checkpoint} --override train.optimizer`")
    whole = trained(folder, other, resume=half.checkpoint, override=["train.optimizer"])
    assert_same(whole, straight)
    # What it leaves is a checkpoint of the new training.
    again = trained(folder, other, resume=whole.checkpoint)
    assert_same(again, straight)


def test_a_schedule_is_where_it_would_be_with_the_new_rate(folder: Path) -> None:
    straight = trained(folder, compiled(folder, "0.02", COSINE), out=folder / "straight")
    half = trained(folder, compiled(folder, "0.1", f"{COSINE}(T_max=4)"), epochs=2)
    other = compiled(folder, "0.02", f"{COSINE}(T_max=4)")
    whole = trained(folder, other, resume=half.checkpoint, override=["train.optimizer"])
    assert rates(whole)[:6] != rates(straight)[:6]
    assert rates(whole)[6:] == rates(straight)[6:]


def test_a_new_schedule_and_another_optimizer(folder: Path) -> None:
    half = trained(folder, compiled(folder), epochs=2)
    compiled(folder, schedule=STEPPED)
    path = folder / "spec.yaml"
    path.write_text(path.read_text().replace("SGD(lr=0.1, momentum=0.9)", "AdamW(lr=0.01)"))
    other = compiler.compile(path)
    with pytest.raises(FileError, match=r"--override train\.schedule"):
        trained(folder, other, resume=half.checkpoint, override=["train.optimizer"])
    whole = trained(folder, other, resume=half.checkpoint, override=["train.optimizer", "train.schedule"])
    assert whole.epochs == 4
    assert [float(rate) for rate in rates(whole)[6:]] == pytest.approx([0.005] * 6)


def test_a_variable_of_the_training_alone(folder: Path) -> None:
    half = trained(folder, compiled(folder, "rate", extra="vars: {rate: 0.1}\n"), epochs=2)
    other = compiled(folder, "rate", extra="vars: {rate: 0.05}\n")
    with pytest.raises(FileError, match=r"--override vars\.rate`"):
        trained(folder, other, resume=half.checkpoint)
    whole = trained(folder, other, resume=half.checkpoint, override=["vars.rate"])
    assert_same(whole, trained(folder, compiled(folder, schedule=STEPPED), out=folder / "straight"))


def test_what_the_model_depends_on_is_not_overridden(folder: Path) -> None:
    compiled(folder, "rate", extra="vars: {rate: 0.1}\n")
    path = folder / "spec.yaml"
    path.write_text(path.read_text().replace("Dropout(0.25)", "Dropout(rate)"))
    half = trained(folder, compiler.compile(path), epochs=1)
    other = compiler.compile(path, set={"rate": 0.2})
    with pytest.raises(FileError, match=r"`spec\.vars\.rate` differs$"):
        trained(folder, other, resume=half.checkpoint)
    with pytest.raises(FileError, match="more than the training depends on it"):
        trained(folder, other, resume=half.checkpoint, override=["vars.rate"])
    with pytest.raises(ValueError, match=r"did you mean `train\.optimizer`"):
        trained(folder, other, resume=half.checkpoint, override=["train.optimiser"])


def test_each_parameter_keeps_what_is_remembered_of_it() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    weights, biases = [model[0].weight, model[1].weight], [model[0].bias, model[1].bias]
    old = torch.optim.AdamW([{"params": weights}, {"params": biases}], lr=0.1)
    model(torch.ones(3, 2)).sum().backward()
    old.step()
    memory, states = memory_of(old, model), old.state_dict()
    moved = torch.optim.AdamW([{"params": biases, "lr": 0.5}, {"params": weights}], lr=0.2)
    found = renewed_states(states, memory, moved, model)
    assert [group["lr"] for group in found["param_groups"]] == [0.5, 0.2]
    assert found["state"][0] is states["state"][2]
    moved.load_state_dict(found)
    assert torch.equal(moved.state[weights[1]]["exp_avg"], old.state[weights[1]]["exp_avg"])
    for other in (torch.optim.SGD(model.parameters()), torch.optim.AdamW(model.parameters(), amsgrad=True)):
        assert renewed_states(states, memory, other, model)["state"] == {}
