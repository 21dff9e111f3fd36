"""The loss of what `run` trains falls as that of the hand-written module: same weights, same batches, each step."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.optim import Adagrad, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from typer.testing import CliRunner

import compiler
import runtime
from compiler.cli.app import app
from runtime.training.data import open_data
from runtime.training.items import noise_seed, training_batches
from spec_schema.folders import Folders
from tests.zoo import classic
from tests.zoo.classic_entries import net
from tests.zoo.parity import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 20
SEED = 3

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A spec that trains, and how one writes that by hand. `options` make the training short."""

    spec: str
    options: tuple[str, ...]
    settings: Mapping[str, int]
    twin: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    optimizer: Callable[..., Optimizer]
    schedule: Callable[[Optimizer], LRScheduler] | None = None

    def __str__(self) -> str:
        return self.spec


def digits_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return equation 9 of the paper, whose constant for what is no digit is left out."""
    image = F.interpolate(batch["image"] * (1.175 + 0.1) - 0.1, scale_factor=4)
    distances = model(image)
    right = distances[torch.arange(len(image)), batch["label"]]
    return (right + torch.logsumexp(-distances, dim=1)).mean()


def elbo_loss(model: nn.Module, batch: Batch) -> Tensor:
    pixels = batch["image"].reshape(-1, 64)
    decoded, mean, log_variance = model(pixels)
    code = Normal(mean, log_variance.mul(0.5).exp())
    distance = kl_divergence(code, Normal(torch.zeros(8), torch.ones(8))).sum(1)
    seen = pixels * decoded.log() + (1 - pixels) * (1 - decoded).log()
    return (distance - seen.sum(1)).mean()


def next_loss(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch["letters"]).transpose(1, 2), batch["target"])


CASES = [
    Case(
        "lenet_digits",
        ("--epochs", "1"),
        {},
        partial(net, classic.LeNet5),
        digits_loss,
        partial(AdamW, lr=0.002),
    ),
    Case(
        "vae_digits",
        ("--epochs", "2"),
        {},
        partial(net, classic.VAE, pixels=64, hidden=200, latent=8),
        elbo_loss,
        partial(Adagrad, lr=0.01),
    ),
    Case(
        "wavenet_text",
        ("--set", f"steps={STEPS}"),
        {"steps": STEPS},
        partial(net, classic.WaveNet, levels=70, width=32, skip=64, longest=32, stacks=1),
        next_loss,
        partial(AdamW, lr=0.004),
        partial(CosineAnnealingLR, T_max=STEPS),
    ),
]


def losses_of_run(case: Case, folder: Path) -> list[float]:
    """Return the losses that `run` logs, one for each step."""
    spec = str(ROOT / f"specs/{case.spec}.yaml")
    command = ["run", spec, *case.options, "--seed", str(SEED), "--out", str(folder), "--format", "json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    with Path(json.loads(result.stdout)["log"]).open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


def batches(artifact: compiler.Artifact, folder: Path) -> Iterator[Batch]:
    """Return the batches that `run` trains on. The noise of each epoch has a seed of its own."""
    training = artifact.training
    assert training is not None
    items, epoch = open_data(artifact, training, Folders(folder)).train, 0
    while True:
        torch.manual_seed(noise_seed(SEED, epoch))
        yield from training_batches(items, training.batch, SEED, lambda: epoch)  # noqa: B023
        epoch += 1


def losses_by_hand(case: Case) -> list[float]:
    artifact = compiler.compile(ROOT / f"specs/{case.spec}.yaml", set=case.settings)
    twin = case.twin()
    twin.load_state_dict(runtime.build(artifact, seed=SEED, device="cpu").state_dict(), strict=True)
    optimizer = case.optimizer(twin.parameters())
    schedule = case.schedule(optimizer) if case.schedule is not None else None
    losses = []
    for _, batch in zip(range(STEPS), batches(artifact, ROOT / "specs"), strict=False):
        optimizer.zero_grad()
        loss = case.loss(twin, batch)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_loss_falls_step_for_step(case: Case, tmp_path: Path) -> None:
    ours, theirs = losses_of_run(case, tmp_path)[:STEPS], losses_by_hand(case)
    assert len(ours) == len(theirs) == STEPS
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-4
    assert sum(theirs[-3:]) < 0.9 * sum(theirs[:3])
