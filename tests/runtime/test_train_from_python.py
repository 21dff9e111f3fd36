"""Trainings from Python: callbacks, loggers, loaders and Trainers of the caller."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as L
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

import compiler
import runtime
from runtime.training.outcome import Trained

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = """
spec: 1
name: tiny
inputs: {x: "float32[batch, 6]"}
model:
  - Linear(16)
  - ReLU
  - Dropout(0.5)
  - Linear(3)
train:
  data: {file: data.npz, x: points, label: classes, test: 0.2}
  loss: cross_entropy(output, label)
  optimizer: SGD(lr=0.1)
  batch: 8
  epochs: 2
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3)"}
"""


@pytest.fixture
def artifact(tmp_path: Path) -> compiler.Artifact:
    draws = np.random.RandomState(7)
    points = draws.normal(size=(60, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", points=points, classes=draws.randint(0, 3, 60))
    (tmp_path / "spec.yaml").write_text(SPEC)
    return compiler.compile(tmp_path / "spec.yaml")


def trained(artifact: compiler.Artifact, folder: Path, **options: Any) -> Trained:
    return runtime.train(artifact, out=folder / "out", progress=False, device="cpu", **options)


class Counter(L.Callback):
    def __init__(self) -> None:
        self.batches = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1


def test_callbacks_and_loggers_of_the_caller_come_beside(artifact: compiler.Artifact, tmp_path: Path) -> None:
    counter = Counter()
    logger = CSVLogger(tmp_path, name="mine", version="")
    result = trained(artifact, tmp_path, callbacks=[counter], loggers=[logger])
    assert counter.batches == 12
    assert (tmp_path / "mine" / "metrics.csv").exists()
    assert result.log.exists()
    assert result.path.read_bytes() == trained(artifact, tmp_path).path.read_bytes()


def test_loaders_of_the_caller_stand_in_for_the_data(artifact: compiler.Artifact, tmp_path: Path) -> None:
    (tmp_path / "data.npz").unlink()
    rows = [{"x": torch.randn(6), "label": torch.tensor(at % 3)} for at in range(10)]
    loader = DataLoader(rows, batch_size=5)  # type: ignore[arg-type,var-annotated]
    result = trained(artifact, tmp_path, loaders={"train": loader, "validation": loader})
    assert result.steps == 4
    assert result.metrics.keys() == {"train_loss", "validation_loss", "validation_accuracy"}
    for wrong in ({"test": loader}, {"train": loader, "tests": loader}, {"train": [torch.ones(3)]}):
        with pytest.raises(ValueError, match=r"loaders are|a batch is"):
            trained(artifact, tmp_path, loaders=wrong)


def test_a_module_trains_in_a_trainer_of_the_caller(artifact: compiler.Artifact, tmp_path: Path) -> None:
    module = runtime.lightning_module(artifact, device="cpu")
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", enable_checkpointing=False, num_sanity_val_steps=0, **quiet
    )
    trainer.fit(module)
    expected = trained(artifact, tmp_path)
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(module.model.state_dict()[name], tensor)
    runtime.save(module.model, tmp_path / "m.safetensors")  # type: ignore[arg-type]


def test_a_loaded_model_is_in_evaluation_mode(artifact: compiler.Artifact, tmp_path: Path) -> None:
    path = trained(artifact, tmp_path).path
    assert not any(module.training for module in runtime.load(path, "cpu").modules())
    assert all(module.training for module in runtime.load(path, "cpu", train=True).modules())
