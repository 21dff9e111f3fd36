"""Groups of parameters and several optimizers, held against a loop written by hand with torch's own."""

import csv
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import compiler
import runtime
from runtime.train import train
from runtime.training.checkpoints import read_checkpoint
from runtime.training.data import open_data
from runtime.training.items import noise_seed, training_batches
from runtime.training.outcome import Trained
from spec_schema.folders import Folders
from tests.runtime.points import write_points

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = """
spec: 1
name: tiny
vars: {depth: 3}
inputs: {x: "float32[batch, 6]"}
model:
  - h: {repeat: depth, of: [LayerNorm, Linear(6), Dropout(0.1)]}
  - head: Linear(3)
train:
  data: {file: data.npz, x: points, label: classes}
  loss: cross_entropy(output, label)
  optimizer:
    h.*.1.weight: Muon(lr=0.02)
    else: AdamW(lr=0.01, weight_decay=0.1)
  groups:
    "{LayerNorm,bias}": {weight_decay: 0}
    "h.**.1.weight": {lr: lr * 0.5 ** (depth - 1 - index)}
  schedule: CosineAnnealingLR
  batch: 10
  epochs: 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_points(tmp_path, 48)
    return tmp_path


def compiled(folder: Path, text: str = SPEC) -> compiler.Artifact:
    (folder / "spec.yaml").write_text(text)
    return compiler.compile(folder / "spec.yaml")


def trained(folder: Path, artifact: compiler.Artifact, **options: object) -> Trained:
    return train(artifact, **{"out": folder / "out", "progress": False, **options})  # type: ignore[arg-type]


def losses_of(result: Trained) -> list[float]:
    with result.log.open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row.get("loss")]


def by_hand(folder: Path, artifact: compiler.Artifact) -> tuple[torch.nn.Module, list[float]]:
    assert artifact.training is not None
    model = runtime.build(artifact, seed=0)
    names = dict(model.named_parameters())
    rates = {f"h.{at}.1.weight": 0.02 * 0.5 ** (2 - at) for at in range(3)}
    still = [p for name, p in names.items() if name.endswith("bias") or name.endswith("0.weight")]
    muon = torch.optim.Muon([{"params": [names[name]], "lr": rate} for name, rate in rates.items()], lr=0.02)
    groups = [{"params": still, "weight_decay": 0}, {"params": [names["head.weight"]]}]
    adam = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(each, T_max=3) for each in (muon, adam)]
    items = open_data(artifact, artifact.training, Folders(folder)).train
    losses = []
    for epoch in range(3):
        torch.manual_seed(noise_seed(0, epoch))
        for batch in training_batches(items, 10, 0, lambda e=epoch: e):
            loss = F.cross_entropy(model(batch["x"]), batch["label"])
            losses.append(loss.item())
            for optimizer in (muon, adam):
                optimizer.zero_grad()
            loss.backward()
            for optimizer in (muon, adam):
                optimizer.step()
        for schedule in schedules:
            schedule.step()
    return model, losses


def test_groups_and_two_optimizers_are_the_loop_that_one_would_write(folder: Path) -> None:
    artifact = compiled(folder)
    result = trained(folder, artifact)
    model, losses = by_hand(folder, artifact)
    assert losses_of(result) == pytest.approx(losses, abs=1e-5)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(result.model.state_dict()[name], tensor, rtol=0, atol=1e-5)


def test_two_optimizers_resume_to_the_byte(folder: Path) -> None:
    artifact = compiled(
        folder, SPEC.replace("  schedule: CosineAnnealingLR\n", "  schedule: StepLR(step_size=1)\n")
    )
    straight = trained(folder, artifact, out=folder / "straight")
    half = trained(folder, artifact, epochs=1)
    whole = trained(folder, artifact, resume=half.checkpoint)
    assert whole.path.read_bytes() == straight.path.read_bytes()
    assert whole.log.read_bytes() == straight.log.read_bytes()
    (state,) = read_checkpoint(whole.checkpoint)["optimizer_states"]
    assert len(state["parts"]) == 2


def test_an_option_of_the_whole_optimizer_is_refused_in_a_group(folder: Path) -> None:
    text = SPEC.replace("{weight_decay: 0}", "{history_size: 3}").replace(
        "else: AdamW(lr=0.01, weight_decay=0.1)", "else: LBFGS"
    )
    with pytest.raises(compiler.SpecError, match="LBFGS"):
        trained(folder, compiled(folder, text))
