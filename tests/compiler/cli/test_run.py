"""`run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import compiler
import runtime
from tests.compiler.cli.conftest import MLP, Call

TRAIN = """\
train:
  data: {file: points.npz, x: xs, y: ys, test: 0.25}
  loss: mse_loss(output, y)
  optimizer: SGD(lr=0.01)
  batch: 8
  epochs: 2
  metrics: {error: MeanSquaredError}
"""


@pytest.fixture
def training(mlp: Path) -> Path:
    """A spec that trains on points beside it."""
    generator = np.random.default_rng(0)
    points = generator.normal(size=(32, 4)).astype("float32")
    np.savez(mlp.with_name("points.npz"), xs=points, ys=points[:, :2])
    mlp.write_text(MLP.replace("head.weight: ones", "head.weight: orthogonal") + TRAIN)
    return mlp


def test_one_forward_shows_what_goes_in_and_what_comes_out(cli: Call, mlp: Path) -> None:
    result = cli("run", mlp)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "x       float32[2, 4], random by seed 0"
    assert lines[1] == "output  float32[2, 2]"
    assert lines[2].strip().startswith("mean ")
    assert len(lines[3].split(",")) == 4


def test_the_values_follow_from_the_seed(cli: Call, mlp: Path) -> None:
    first, again, other = (cli("run", mlp, "--seed", seed).stdout for seed in ("3", "3", "4"))
    assert first == again
    assert first.replace("seed 3", "seed 4") != other


def test_the_output_is_that_of_the_model(cli: Call, mlp: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    built = json.loads(cli("run", mlp, "--save", path, "--format", "json").stdout)
    assert built == json.loads(cli("run", path, "--format", "json").stdout)
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    expected = runtime.load(path).eval()(x)
    assert built["outputs"]["output"]["statistics"]["max"] == pytest.approx(expected.max().item())


def test_several_outputs_have_names(cli: Call, mlp: Path) -> None:
    mlp.write_text(MLP.replace("return head(body(x))", "return {'a': x, 'b': (head(body(x)), 3)}"))
    assert cli("run", mlp, "--format", "short").stdout.splitlines() == [
        "output.a: float32[2, 4]",
        "output.b[0]: float32[2, 2]",
        "output.b[1]: 3",
    ]


def test_a_model_that_fails_is_the_specs_mistake_with_its_line(cli: Call, mlp: Path) -> None:
    mlp.write_text(
        'spec: 1\ninputs: {x: "float32[batch, 4]"}\nmodel:\n  forward: |\n'
        "    return embedding(argmax(x, dim=1) + 100, x)\n"
    )
    result = cli("run", mlp)
    assert result.exit_code == 1
    message, note = result.stderr.splitlines()
    assert message.startswith("error: the model fails on random inputs: IndexError: ")
    assert "of the emitted source: return F.embedding(" in note


def test_a_refused_spec_writes_nothing(cli: Call, broken: Path, tmp_path: Path) -> None:
    assert cli("run", broken, "--save", tmp_path / "m.safetensors").exit_code == 1
    assert list(tmp_path.iterdir()) == [broken]


def test_the_spec_is_not_overwritten(cli: Call, mlp: Path) -> None:
    before = mlp.read_bytes()
    assert cli("run", mlp, "--save", mlp).exit_code == 2
    assert mlp.read_bytes() == before


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there(cli: Call, mlp: Path, device: str) -> None:
    result = cli("run", mlp, "--device", device)
    assert result.exit_code == 2
    assert f"`{device}`" in result.stderr
    assert "cpu" in result.stderr


@pytest.mark.parametrize("option", [["--epochs", "3"], ["--out", "folder"]])
def test_options_of_training_need_a_training(cli: Call, mlp: Path, option: list[str]) -> None:
    result = cli("run", mlp, *option)
    assert result.exit_code == 2
    assert result.stderr == f"error: `{option[0]}` is for training, and the spec has no `train` section\n"


def test_a_model_that_is_too_large_needs_a_word(
    cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["runtime.build"], "available_memory", lambda: 100)
    result = cli("run", mlp)
    assert result.exit_code == 1
    assert "--allow-large" in result.stderr
    assert cli("run", mlp, "--allow-large").exit_code == 0


def test_progress_counts_every_tensor(mlp: Path) -> None:
    artifact = compiler.compile(mlp)
    seen: list[str] = []
    runtime.build(artifact, on_row=lambda row: seen.append(row.name))
    assert seen == [row.name for row in artifact.plan.rows]


def test_training_shows_the_tree_the_results_and_what_comes_next(
    cli: Call, training: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = cli("run", training, "--out", out)
    assert result.exit_code == 0, result.stderr
    model = out / "mlp.safetensors"
    text = result.stdout.replace("\n", " ")
    for part in ("├─ body", "test_loss", "error", "params", "runtime.load"):
        assert part in text
    assert result.stderr.count("epoch ") == 2
    assert cli("params", model).exit_code == 0
    forward = cli("run", model)
    assert forward.exit_code == 0
    assert "output" in forward.stdout


def test_training_as_json_and_going_on(cli: Call, training: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = json.loads(cli("run", training, "--out", out, "--format", "json").stdout)
    assert (first["epochs"], first["steps"]) == (2, 6)
    assert set(first["metrics"]) == {"train_loss", "test_loss", "error"}
    more = cli(
        "run", training, "--out", out, "--epochs", "3", "--resume", first["checkpoint"], "--format", "json"
    )
    assert (json.loads(more.stdout)["epochs"], json.loads(more.stdout)["steps"]) == (3, 9)


def test_a_training_that_is_too_large_needs_a_word_too(
    cli: Call, training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["runtime.build"], "available_memory", lambda: 100)
    arguments = ("run", training, "--out", tmp_path / "out", "--epochs", "1")
    assert cli(*arguments).exit_code == 1
    assert not (tmp_path / "out" / "mlp.safetensors").exists()
    assert cli(*arguments, "--allow-large").exit_code == 0


def test_missing_data_is_located(cli: Call, training: Path, tmp_path: Path) -> None:
    training.with_name("points.npz").unlink()
    result = cli("run", training, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{training}:22:" in result.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_checkpoint_that_is_none(cli: Call, training: Path, tmp_path: Path) -> None:
    missing = cli("run", training, "--resume", tmp_path / "none.safetensors")
    assert missing.exit_code == 2
    wrong = cli("run", training, "--out", tmp_path / "out", "--resume", training.with_name("points.npz"))
    assert wrong.exit_code == 1
    assert "points.npz" in wrong.stderr


def test_what_is_overridden_can_be_and_needs_a_checkpoint(cli: Call, mlp: Path) -> None:
    (mlp.parent / "c.safetensors").write_bytes(b"")
    alone = cli("run", mlp, "--override", "train.optimizer")
    assert alone.exit_code == 2
    assert "name its checkpoint with `--resume FILE`" in alone.stderr
    wrong = cli("run", mlp, "--resume", mlp.parent / "c.safetensors", "--override", "train.optimiser")
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "error: `train.optimiser` cannot be overridden\n  help: did you mean `train.optimizer`?\n",
    )
