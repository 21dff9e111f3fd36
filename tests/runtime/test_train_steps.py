"""Who takes the steps of a training makes no difference: the files are the same to the byte."""

import inspect
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

import compiler
from runtime.train import train
from runtime.training import stepping
from runtime.training.optimizers import ALIKE, DTYPES
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.2}
  loss: cross_entropy(output, label)
  optimizer: AdamW(lr=0.01)
  batch: 8
  epochs: 3
"""
FULL = """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.2, validation: 0.2}
  loss: cross_entropy(output, label)
  optimizer: {"*.weight": "SGD(lr=0.01, momentum=0.9)", else: AdamW(lr=0.01)}
  schedule: CosineAnnealingLR
  warmup: 3
  batch: 4
  accumulate: 3
  clip: 0.1
  ema: 0.9
  steps: 17
  monitor: validation_loss
  early_stopping: {patience: 9}
  watch: [Linear.weight]
"""
BY_VALUE = PLAIN + "  clip: {value: 0.001}\n"
MIXED = PLAIN + "  precision: bf16-mixed\n"
NAMES = ["plain", "full", "by value", "mixed"]


class Bystander(Callback):
    """A callback of the caller, so that Lightning takes the steps."""

    taken = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.taken = pl_module.automatic_optimization


def compiled(folder: Path, section: str) -> compiler.Artifact:
    write_points(folder, 60)
    (folder / "spec.yaml").write_text(TINY + section)
    return compiler.compile(folder / "spec.yaml")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(artifact: compiler.Artifact, out: Path, *callbacks: Callback, **options: object) -> dict[str, bytes]:
    train(artifact, out=out, device="cpu", progress=False, callbacks=callbacks, **options)  # type: ignore[arg-type]
    return files(out)


@pytest.mark.parametrize("section", [PLAIN, FULL, BY_VALUE, MIXED], ids=NAMES)
def test_all_files_are_those_of_lightnings_own_steps(tmp_path: Path, section: str) -> None:
    artifact, out = compiled(tmp_path, section), tmp_path / "out"
    ours = run(artifact, out)
    for path in ours:
        (out / path).unlink()
    bystander = Bystander()
    theirs = run(artifact, out, bystander)
    assert bystander.taken
    assert ours == theirs


def test_what_one_began_the_other_resumes(tmp_path: Path) -> None:
    artifact, out = compiled(tmp_path, BY_VALUE), tmp_path / "out"
    whole = run(artifact, out)
    half = compiled(tmp_path, BY_VALUE.replace("epochs: 3", "epochs: 1"))
    for first, second in (((Bystander(),), ()), ((), (Bystander(),))):
        begun = run(half, out, *first)
        assert begun["tiny.safetensors"] != whole["tiny.safetensors"]
        assert run(artifact, out, *second, resume=out / "tiny/checkpoint.safetensors") == whole


def test_an_optimizer_that_asks_for_the_loss_again_is_lightnings(tmp_path: Path) -> None:
    artifact = compiled(tmp_path, PLAIN.replace("AdamW(lr=0.01)", "LBFGS(lr=0.1)"))
    out = tmp_path / "out"
    ours = run(artifact, out)
    assert ours == run(artifact, out, Bystander())


def test_how_many_steps_a_call_takes_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, out, found = compiled(tmp_path, FULL), tmp_path / "out", []
    for moment in (0.0, 60.0):
        monkeypatch.setattr(stepping, "MOMENT", moment)
        found.append(run(artifact, out))
        for path in found[0]:
            (out / path).unlink()
    assert found[0] == found[1]


class Silent(Callback):
    """Takes the loggers away."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.loggers = []


def test_a_report_does_without_a_log(tmp_path: Path) -> None:
    found = run(compiled(tmp_path, PLAIN), tmp_path / "out", Silent())
    assert "tiny.html" in found
    assert "tiny/metrics.csv" not in found


# One call for all parameters.


def stepped(kind: type, together: bool, dtype: torch.dtype, **options: object) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    shapes = [(64, 32), (32,), (), (3, 5, 7)]
    parameters = [nn.Parameter(torch.randn(shape, generator=draws).to(dtype)) for shape in shapes]
    optimizer = kind(parameters, foreach=together, **options)
    for step in range(8):
        for parameter in parameters:
            large = 10 ** float(2 * torch.randn((), generator=draws))
            parameter.grad = (torch.randn(parameter.shape, generator=draws) * large).to(dtype)
        if step == 3:
            parameters[1].grad = None
        optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [parameter.detach() for parameter in parameters] + states


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ALIKE)
def test_one_call_for_all_parameters_gives_the_same_bits(kind: type, dtype: torch.dtype) -> None:
    assert "foreach" in inspect.signature(kind).parameters
    for options in ({}, {"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True, "betas": (0.5, 0.9)}):
        pairs = zip(
            stepped(kind, False, dtype, **options), stepped(kind, True, dtype, **options), strict=True
        )
        assert all(torch.equal(one, other) for one, other in pairs)
