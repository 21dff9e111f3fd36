"""Evaluations of saved models, and predictions, against what the models return."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import compiler
import runtime
from runtime.predictions import write_predictions
from runtime.train import train
from runtime.training.outcome import Trained
from spec_schema.diagnostics import SpecError

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = """
spec: 1
name: tiny
inputs: {x: "float32[batch, 6]"}
model:
  - first: Linear(16)
  - norm: BatchNorm1d
  - Dropout(0.5)
  - last: Linear(3)
train:
  data: {file: data.npz, x: points, label: classes, test: 0.2, validation: 0.1}
  loss: cross_entropy(output, label)
  optimizer: SGD(lr=0.1)
  batch: 8
  epochs: 2
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3)"}
"""


def points(count: int, seed: int) -> dict[str, np.ndarray]:
    draws = np.random.RandomState(seed)
    return {
        "points": draws.normal(size=(count, 6)).astype(np.float32),
        "classes": draws.randint(0, 3, count),
    }


@pytest.fixture
def result(tmp_path: Path) -> Trained:
    np.savez(tmp_path / "data.npz", **points(60, 7))
    np.savez(tmp_path / "new.npz", **points(21, 8))
    np.savez(tmp_path / "more.npz", points=points(5, 9)["points"])
    (tmp_path / "spec.yaml").write_text(SPEC)
    artifact = compiler.compile(tmp_path / "spec.yaml")
    return train(artifact, out=tmp_path / "out", progress=False)


def test_a_saved_model_scores_as_it_did(result: Trained, tmp_path: Path) -> None:
    model = runtime.load(result.path, "cpu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = runtime.evaluate(model, data_paths=[tmp_path])
    assert found == {name: result.metrics[name] for name in ("test_loss", "accuracy")}
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.training


def test_other_data_are_scored_whole(result: Trained, tmp_path: Path) -> None:
    model = runtime.load(result.path, "cpu")
    new = points(21, 8)
    with torch.no_grad():
        output = model(torch.from_numpy(new["points"]))
    label = torch.from_numpy(new["classes"]).long()
    for batch in (4, 21):
        found = runtime.evaluate(model, data=tmp_path / "new.npz", batch=batch)
        assert found["test_loss"] == pytest.approx(float(F.cross_entropy(output, label)), abs=1e-6)
        assert found["accuracy"] == pytest.approx(float((output.argmax(1) == label).float().mean()))


def test_data_that_are_elsewhere_are_asked_for(result: Trained) -> None:
    with pytest.raises(SpecError) as caught:
        runtime.evaluate(runtime.load(result.path, "cpu"))
    assert "--data-path" in (caught.value.diagnostics[0].help or "")


def test_predictions_are_what_the_model_returns(result: Trained, tmp_path: Path) -> None:
    model = runtime.load(result.path, "cpu")
    files = [tmp_path / "new.npz", tmp_path / "more.npz"]
    rows = np.concatenate([points(21, 8)["points"], points(5, 9)["points"]])
    with torch.no_grad():
        expected = model(torch.from_numpy(rows))
    for batch in (1, 4, 64):
        found = runtime.predict(model, files, batch=batch)["output"]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found.shape == (26, 3)


def test_each_form_holds_the_same_numbers(tmp_path: Path) -> None:
    values = {"scores": torch.randn(4, 2), "label": torch.arange(4)}
    for ending in ("npz", "safetensors", "csv", "parquet"):
        write_predictions(tmp_path / f"p.{ending}", values)
    with np.load(tmp_path / "p.npz") as found:
        assert all(np.array_equal(found[name], each.numpy()) for name, each in values.items())
    stored = load_file(tmp_path / "p.safetensors")
    assert all(torch.equal(stored[name], each) for name, each in values.items())
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["scores_0", "scores_1", "label"]
    assert [[float(row["scores_0"]), float(row["scores_1"])] for row in rows] == values["scores"].tolist()
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "p.parquet").to_pydict()
    assert parquet == {name: each.tolist() for name, each in values.items()}
    with pytest.raises(ValueError, match=r"not to `\.txt`"):
        write_predictions(tmp_path / "p.txt", values)
    with pytest.raises(SpecError, match="a table has a row"):
        write_predictions(tmp_path / "q.csv", {"deep": torch.zeros(2, 3, 4)})
    assert not (tmp_path / "q.csv").exists()


def test_a_model_without_a_train_section_predicts_from_its_inputs_by_name(tmp_path: Path) -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]", y: "float32[batch, 4]"}
model:
  layers: {linear: Linear(2)}
  forward: "return {'sum': linear(x + y), 'pair': [x, y]}"
"""
    model = runtime.build(compiler.compile_text(text), device="cpu")
    x, y = np.ones((5, 4), np.float32), np.zeros((5, 4), np.float32)
    np.savez(tmp_path / "in.npz", x=x, y=y)
    found = runtime.predict(model, tmp_path / "in.npz")
    assert list(found) == ["sum", "pair_0", "pair_1"]
    assert torch.equal(found["pair_1"], torch.zeros(5, 4))
    assert model.training


@pytest.mark.parametrize("returned", ["x.sum()", "x.mean(0)"])
def test_what_is_no_row_for_each_item_is_refused(tmp_path: Path, returned: str) -> None:
    text = f"""
spec: 1
inputs: {{x: "float32[batch, 4]"}}
model:
  layers: {{linear: Linear(2)}}
  forward: return {returned.replace("x.", "linear(x).")}
"""
    model = runtime.build(compiler.compile_text(text), device="cpu")
    np.savez(tmp_path / "in.npz", x=np.ones((5, 4), np.float32))
    with pytest.raises(SpecError) as caught:
        runtime.predict(model, tmp_path / "in.npz")
    assert caught.value.diagnostics[0].code == "not-by-row"
