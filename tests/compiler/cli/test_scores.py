"""`evaluate` and `predict`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.compiler.cli.conftest import MLP, Call
from tests.compiler.cli.test_run import TRAIN

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model(mlp: Path, cli: Call, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(mlp.parent)
    points = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    np.savez("points.npz", xs=points, ys=points[:, :2])
    mlp.write_text(MLP + TRAIN)
    result = cli("run", mlp)
    assert result.exit_code == 0
    assert "evaluate out/mlp.safetensors --data-path" in result.stdout.replace("\n             ", " ")
    assert "predict out/mlp.safetensors --input FILE" in result.stdout.replace("\n             ", " ")
    return Path("out/mlp.safetensors")


def test_the_numbers_are_those_of_the_training(cli: Call, model: Path) -> None:
    result = cli("evaluate", model, "--data-path", ".", "--format", "json")
    assert result.exit_code == 0
    again = json.loads(cli("run", "mlp.yaml", "--format", "json").stdout)["metrics"]
    assert json.loads(result.stdout)["metrics"] == {name: again[name] for name in ("test_loss", "error")}
    other = cli("evaluate", model, "--data", "points.npz", "--device", "cpu")
    assert other.stdout.startswith("result")
    refused = cli("evaluate", model)
    assert refused.exit_code == 1
    assert "--data-path" in refused.stderr


def test_predictions_are_written(cli: Call, model: Path) -> None:
    result = cli("predict", model, "--input", "points.npz", "-o", "p.npz", "--batch", 5)
    assert result.stdout == "output  float32[32, 2]\nwrote p.npz\n"
    with np.load("p.npz") as found:
        assert found["output"].shape == (32, 2)
    wrong = cli("predict", model, "--input", "points.npz", "-o", "p.txt")
    assert wrong.exit_code == 2
    assert ".parquet" in wrong.stderr
    absent = cli("predict", model, "--input", "pints.npz", "-o", "p.npz")
    assert absent.exit_code == 2
    assert "`points.npz`" in absent.stderr
    spec = cli("predict", "mlp.yaml", "--input", "points.npz", "-o", "p.npz")
    assert (spec.exit_code, "no saved model" in spec.stderr) == (2, True)
    over = cli("predict", model, "--input", "points.npz", "-o", "points.npz")
    assert over.exit_code == 2


def test_a_run_of_a_model_says_that_its_inputs_are_random(cli: Call, model: Path) -> None:
    result = cli("run", model)
    assert "inputs are random numbers" in result.stderr
