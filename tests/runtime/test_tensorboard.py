"""The log for TensorBoard: the numbers of the CSV log, in event files."""

import csv
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import compiler
import runtime
from spec_schema.diagnostics import SpecError
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

SECTION = """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.25}
  loss: cross_entropy(output, label)
  optimizer: AdamW(lr=0.02)
  batch: 10
  epochs: 2
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3)"}
  watch: [first.weight]
  log: {tensorboard: true, report: false}
"""


@pytest.fixture
def artifact(tmp_path: Path) -> compiler.Artifact:
    write_points(tmp_path, 48)
    (tmp_path / "spec.yaml").write_text(TINY + SECTION)
    return compiler.compile(tmp_path / "spec.yaml")


def events(folder: Path) -> Iterator[Any]:
    """Yield the events of all files in a folder: each has its length, a checksum of that, itself, a checksum."""
    messages = pytest.importorskip("tensorboardX.proto.event_pb2")
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            yield messages.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events(folder)
        for value in event.summary.value
    }


def test_event_files_have_what_the_log_has(artifact: compiler.Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    result = runtime.train(artifact, out=tmp_path / "$HOME", progress=False, device="cpu")
    folder = result.log.parent / "tensorboard"
    found = scalars(folder)
    with result.log.open(newline="") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    expected = {
        (name, int(row["step"])): value for row in rows for name, value in row.items() if name != "step"
    }
    assert found == pytest.approx(expected, rel=1e-6)
    assert {name for name, _ in found} >= {"loss", "lr", "train_loss", "accuracy", "norm/first.weight"}
    assert [path.name.partition(".")[0] for path in folder.iterdir()] == ["events"]


def test_a_training_that_is_resumed_goes_on(artifact: compiler.Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    first = runtime.train(artifact, out=tmp_path, epochs=1, progress=False, device="cpu")
    runtime.train(artifact, out=tmp_path, resume=first.checkpoint, progress=False, device="cpu")
    folder = first.log.parent / "tensorboard"
    starts = [event.step for event in events(folder) if event.HasField("session_log")]
    assert sorted(starts) == [0, first.steps]
    assert {step for name, step in scalars(folder) if name == "loss"} == set(range(2 * first.steps))


def test_what_writes_it_is_named_where_it_is_missing(
    artifact: compiler.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compiler.extras._is_there", lambda module: not module.startswith("tensorboard"))
    with pytest.raises(SpecError) as caught:
        runtime.train(artifact, out=tmp_path / "out", progress=False)
    (problem,) = caught.value.diagnostics
    assert problem.code == "missing-extra"
    assert problem.message == "a log for TensorBoard needs `tensorboardX`, which is not installed"
    assert problem.help == "`pip install 'blockprint[tensorboard]'`"
    assert not (tmp_path / "out").exists()
