"""Training, held against loops written by hand and against itself."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import compiler
import runtime
from runtime.files.header import FileError
from runtime.train import train
from runtime.training.checkpoints import read_checkpoint
from runtime.training.data import open_data
from runtime.training.items import Batch, noise_seed, training_batches
from runtime.training.learner import Learner
from runtime.training.outcome import Interrupted, Trained
from spec_schema.diagnostics import SpecError
from spec_schema.folders import Folders
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN = """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.25}
  loss: cross_entropy(output, label)
  optimizer: AdamW(lr=0.02)
  batch: 10
  epochs: 4
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3)"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_points(tmp_path, 48)
    return tmp_path


def compiled(
    folder: Path, train_section: str = TRAIN, spec: str = TINY, **options: object
) -> compiler.Artifact:
    path = folder / "spec.yaml"
    path.write_text(spec + train_section)
    return compiler.compile(path, **options)  # type: ignore[arg-type]


def trained(folder: Path, artifact: compiler.Artifact, **options: object) -> Trained:
    return train(artifact, **{"out": folder / "out", "progress": False, **options})  # type: ignore[arg-type]


def log_of(result: Trained) -> list[dict[str, float]]:
    with result.log.open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def assert_same_state(a: torch.nn.Module, b: torch.nn.Module) -> None:
    first, second = a.state_dict(), b.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


# The same as a loop written by hand.


def test_training_is_the_loop_that_one_would_write(folder: Path) -> None:
    section = (
        TRAIN.replace(
            "AdamW(lr=0.02)", "SGD(lr=0.1, momentum=0.9)\n  schedule: StepLR(step_size=1, gamma=0.5)"
        )
        + "  clip: 0.5\n  watch: [Linear.weight, running_mean]\n"
    )
    artifact = compiled(folder, section)
    result = trained(folder, artifact, seed=3, epochs=2)
    model, rows = by_hand(artifact, folder, seed=3, epochs=2)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(result.model.state_dict()[name], tensor, rtol=0, atol=1e-6)
    steps = [row for row in log_of(result) if "loss" in row]
    assert len(steps) == len(rows) == 8
    for logged, row in zip(steps, rows, strict=True):
        assert {key: logged[key] for key in row} == pytest.approx(row, abs=1e-5)
    assert "grad_norm/norm.running_mean" not in steps[0]
    assert result.metrics["train_loss"] == pytest.approx(weighted_loss(rows[4:]), abs=1e-5)
    assert_metrics_by_hand(result, artifact, folder, model)


def by_hand(
    artifact: compiler.Artifact, folder: Path, seed: int, epochs: int
) -> tuple[torch.nn.Module, list[dict[str, float]]]:
    assert artifact.training is not None
    model = runtime.build(artifact, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    items = open_data(artifact, artifact.training, Folders(folder)).train
    rows = []
    for epoch in range(epochs):
        torch.manual_seed(noise_seed(seed, epoch))
        for batch in training_batches(items, 10, seed, lambda e=epoch: e):
            before = model.state_dict()["norm.running_mean"].clone()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch["x"]), batch["label"])
            loss.backward()
            row = {"loss": loss.item(), "step": len(rows), "lr": 0.1 * 0.5**epoch}
            for name in ("first.weight", "last.weight"):
                weight = model.get_parameter(name)
                row[f"norm/{name}"] = float(weight.detach().norm())
                assert weight.grad is not None
                row[f"grad_norm/{name}"] = float(weight.grad.norm())
            after = model.state_dict()["norm.running_mean"]
            assert not torch.equal(before, after)
            row["norm/norm.running_mean"] = math.sqrt(float((after**2).sum()))
            rows.append(row)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
    return model, rows


def weighted_loss(rows: list[dict[str, float]]) -> float:
    """The mean over an epoch of 36 items in batches of 10, 10, 10 and 6."""
    return sum(row["loss"] * size for row, size in zip(rows, (10, 10, 10, 6), strict=True)) / 36


def assert_metrics_by_hand(
    result: Trained, artifact: compiler.Artifact, folder: Path, model: torch.nn.Module
) -> None:
    assert artifact.training is not None
    test = open_data(artifact, artifact.training, Folders(folder)).test
    assert test is not None
    batch = test[test.in_order()]
    assert len(batch["label"]) == 12
    with torch.no_grad():
        output = model.eval()(batch["x"])
    right = float((output.argmax(1) == batch["label"]).float().mean())
    assert result.metrics["accuracy"] == pytest.approx(right)
    assert result.metrics["test_loss"] == pytest.approx(
        float(F.cross_entropy(output, batch["label"])), abs=1e-5
    )


def test_the_loss_falls_and_one_file_holds_the_model(folder: Path) -> None:
    artifact = compiled(folder)
    result = trained(folder, artifact, epochs=20)
    losses = [row["train_loss"] for row in log_of(result) if "train_loss" in row]
    assert len(losses) == 20
    assert losses[-1] < 0.5 * losses[0]
    assert result.path == folder / "out" / "tiny.safetensors"
    assert_same_state(runtime.load(result.path), result.model)
    assert {path.name for path in (folder / "out").iterdir()} == {"tiny", "tiny.html", "tiny.safetensors"}


def test_a_schedule_that_follows_results_does_so_once_an_epoch(folder: Path) -> None:
    section = TRAIN.replace(
        "epochs: 4", "steps: 12\n  schedule: ReduceLROnPlateau(patience=0, threshold=0.5)"
    )
    rates = {row["lr"] for row in log_of(trained(folder, compiled(folder, section))) if "lr" in row}
    assert len(rates) > 1


# Going on with a training.


def test_a_resumed_training_ends_as_one_that_was_never_left(folder: Path) -> None:
    artifact = compiled(folder, TRAIN + "  schedule: ReduceLROnPlateau(patience=0, threshold=0.2)\n")
    straight = trained(folder, artifact, out=folder / "straight")
    half = trained(folder, artifact, epochs=2)
    assert not torch.equal(
        half.model.state_dict()["first.weight"], straight.model.state_dict()["first.weight"]
    )
    whole = trained(folder, artifact, resume=half.checkpoint)
    assert_same_state(whole.model, straight.model)
    assert log_of(whole) == log_of(straight)
    assert whole.metrics == straight.metrics
    assert len({row["lr"] for row in log_of(straight) if "lr" in row}) > 1


def test_after_an_interruption_the_schedule_goes_on_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = compiled(folder, TRAIN + "  schedule: CosineAnnealingLR\n")
    straight = trained(folder, artifact, out=folder / "straight")
    step = Learner.loss_of

    def interrupted_step(learner: Learner, batch: Batch, index: int) -> torch.Tensor:
        if learner.global_step == 10:
            raise KeyboardInterrupt
        return step(learner, batch, index)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "loss_of", interrupted_step)
        with pytest.raises(Interrupted, match="after 2 epochs") as caught:
            trained(folder, artifact)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (folder / "out" / "tiny.safetensors").exists()
    whole = trained(folder, artifact, resume=caught.value.checkpoint)
    assert_same_state(whole.model, straight.model)
    assert log_of(whole) == log_of(straight)
    with pytest.raises(FileError, match="the schedule follows the length"):
        trained(folder, artifact, resume=whole.checkpoint, epochs=8)


def test_a_finished_training_is_only_evaluated_when_resumed(folder: Path) -> None:
    artifact = compiled(folder)
    done = trained(folder, artifact)
    again = trained(folder, artifact, resume=done.checkpoint)
    assert_same_state(again.model, done.model)
    assert again.metrics == {key: done.metrics[key] for key in ("test_loss", "accuracy")}


def test_a_training_that_went_further_is_not_resumed(folder: Path) -> None:
    artifact = compiled(folder)
    done = trained(folder, artifact, epochs=3)
    with pytest.raises(FileError, match="after 3 epochs, and the training has 2"):
        trained(folder, artifact, epochs=2, resume=done.checkpoint)


def test_only_a_checkpoint_of_the_same_training_is_resumed(folder: Path) -> None:
    done = trained(folder, compiled(folder), epochs=1)
    other = compiled(folder, TRAIN.replace("lr=0.02", "lr=0.03"))
    with pytest.raises(FileError, match=r"`spec\.train\.optimizer` differs"):
        trained(folder, other, resume=done.checkpoint)
    with pytest.raises(FileError, match="the seed 0"):
        trained(folder, compiled(folder), seed=1, resume=done.checkpoint)
    with pytest.raises(FileError, match="a saved model cannot be resumed"):
        trained(folder, compiled(folder), resume=done.path)
    with pytest.raises(FileNotFoundError):
        trained(folder, compiled(folder), resume=folder / "nothing.safetensors")
    damaged = folder / "damaged.safetensors"
    damaged.write_bytes(done.checkpoint.read_bytes()[:-9])
    with pytest.raises(FileError, match="is damaged"):
        trained(folder, compiled(folder), resume=damaged)


def test_steps_end_a_training_and_a_checkpoint_is_of_whole_epochs(folder: Path) -> None:
    section = TRAIN.replace("epochs: 4", "steps: 10\n  schedule: OneCycleLR(max_lr=0.1)")
    result = trained(folder, compiled(folder, section))
    assert result.steps == 10
    assert "accuracy" in result.metrics
    assert read_checkpoint(result.checkpoint)["global_step"] == 8
    assert_same_state(
        trained(folder, compiled(folder, section), resume=result.checkpoint).model, result.model
    )


# What must stay as it is.


def test_what_is_frozen_or_shared_stays_so(folder: Path) -> None:
    spec = TINY.replace(
        "  - last: Linear(3)", "  - middle: Linear(16)\n  - again: Linear(16)\n  - last: Linear(3)"
    )
    rules = "share: {both: [middle, again]}\nfreeze: [norm, first.bias]\n"
    artifact = compiled(folder, TRAIN + "  watch: [first, norm]\n", spec + rules)
    before = runtime.build(artifact, seed=0)
    result = trained(folder, artifact)
    frozen = {"first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"}
    for name, tensor in result.model.state_dict().items():
        still = name in frozen or name == "norm.num_batches_tracked"
        assert torch.equal(tensor, before.state_dict()[name]) == still, name
    assert all(p.requires_grad == (name not in frozen) for name, p in result.model.named_parameters())
    logged = {key for row in log_of(result) for key in row if key.startswith("grad_norm/")}
    assert logged == {"grad_norm/first.weight"}
    assert result.model.get_parameter("middle.weight") is result.model.get_parameter("again.weight")
    (state,) = read_checkpoint(result.checkpoint)["optimizer_states"]
    assert len(state["state"]) == len(state["param_groups"][0]["params"]) == 5


def test_training_leaves_the_random_state_of_its_caller(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained(folder, compiled(folder), epochs=1)
    assert torch.equal(torch.rand(3), expected)


# What a person sees.


def test_progress_is_a_line_for_each_epoch(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained(folder, compiled(folder), epochs=2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    for number, line in enumerate(lines, 1):
        values = r"train loss \d\.\d{4}   test loss \d\.\d{4}   accuracy [01]\.\d{4}   [\d.]+ s"
        assert re.fullmatch(rf"epoch {number}/2   {values}", line)
    trained(folder, compiled(folder), epochs=1)
    assert capfd.readouterr() == ("", "")


# Wrong data.


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "words"),
    [
        ("data.npz", "dato.npz", "data-missing", "dato.npz", "no file `dato.npz`"),
        ("data.npz", "spec.yaml", "data-broken", "spec.yaml", "no .npz file"),
        ("classes,", "clases,", "unknown-array", "clases", "has no array `clases`"),
        ("x: points", "x: doubles", "data-shape", "doubles", r"float64\[10, 6\]"),
        ("x: points", "x: wide", "data-shape", "wide", r"float32\[10, 7\]"),
        ("x: points", "x: short", "data-lengths", "data.npz", "different lengths"),
        ("classes,", "objects,", "data-broken", "data.npz", "plain arrays"),
        (
            "classes,",
            "large,",
            "operation-failed|shape-mismatch",
            "cross_entropy(output, label)",
            "out of bounds",
        ),
        (
            "cross_entropy(output, label)",
            "output[:, 0] * label",
            "loss-not-scalar",
            "output[:, 0] * label",
            "shape",
        ),
        (
            "num_classes=3",
            "num_classes=5",
            "metric-failed",
            "Accuracy(task='multiclass', num_classes=5)",
            "refuses",
        ),
        ("AdamW(lr=0.02)", "AdamW(lr=-1)", "bad-argument", "AdamW(lr=-1)", "[Ii]nvalid learning rate"),
        ("test: 0.25", "test: 0.001", "too-little-data", "data.npz", "would be empty"),
    ],
)
def test_data_that_does_not_fit_is_refused_where_it_is_named(
    folder: Path, old: str, new: str, code: str, place: str, words: str
) -> None:
    arrays = dict(np.load(folder / "data.npz"))
    points, classes = arrays["points"], arrays["classes"]
    np.savez(
        folder / "data.npz",
        **arrays,
        doubles=points.astype(np.float64),
        wide=np.zeros((48, 7), np.float32),
        short=points[:40],
        objects=np.array([None] * 48, dtype=object),
        large=classes + 9,
    )
    assert old in TRAIN
    with pytest.raises(SpecError) as caught:
        trained(folder, compiled(folder, TRAIN.replace(old, new)))
    (diagnostic,) = caught.value.diagnostics
    assert re.fullmatch(code, diagnostic.code)
    assert diagnostic.span is not None
    assert diagnostic.span.text == place
    assert re.search(words, diagnostic.message), diagnostic.message
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("AdamW(lr=0.02)", "SparseAdam(lr=0.02)", "step 0 failed: .*dense gradients"),
        ("cross_entropy(output, label)", "cross_entropy(output.detach(), label)", "step 0 failed: .*grad"),
        ("batch: 10", "batch: 35", "step 1 failed: .*more than 1 value per channel"),
    ],
)
def test_a_step_that_fails_is_located(folder: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        trained(folder, compiled(folder, TRAIN.replace(old, new)))
    (found,) = caught.value.diagnostics
    assert found.code == "training-failed"
    assert found.span is not None
    assert found.span.text.split("(")[0] in ("SparseAdam", "AdamW", "cross_entropy")


def test_a_spec_without_a_train_section_is_not_trained(folder: Path) -> None:
    with pytest.raises(SpecError, match="does not say how it is trained"):
        trained(folder, compiled(folder, ""))


# Other sources of data.

TEXT_SPEC = """
spec: 1
name: letters
inputs: {tokens: "int64[batch, time]"}
model:
  - Embedding(8, 4)
  - Linear(8)
train:
  data: {text: text.txt, context: 5, tokens: characters, next: next_characters, test: 0.1}
  loss: cross_entropy(output.flatten(0, 1), next.flatten())
  optimizer: SGD(lr=0.5)
  batch: 4
  epochs: 3
  metrics: {perplexity: Perplexity}
"""


def test_a_text_is_windows_of_characters_and_their_successors(tmp_path: Path) -> None:
    text = "abcdefgh" * 20
    (tmp_path / "text.txt").write_text(text)
    artifact = compiled(tmp_path, "", TEXT_SPEC)
    assert artifact.training is not None
    splits = open_data(artifact, artifact.training, Folders(tmp_path))
    assert splits.test is not None
    number = {letter: place for place, letter in enumerate("abcdefgh")}
    batch = splits.test[splits.test.in_order()]
    held_back = [number[letter] for letter in text[144:]]
    assert batch["tokens"].flatten().tolist() == held_back[:10]
    assert batch["next"].flatten().tolist() == held_back[1:11]
    generator = torch.Generator().manual_seed(1)
    starts = splits.train.shuffled(generator)
    assert len(starts) == len(splits.train) == (144 - 5) // 5
    assert len({int(start) % 5 for start in starts}) == 1
    epoch = splits.train[starts]
    assert torch.equal(epoch["next"][:, :-1], epoch["tokens"][:, 1:])
    assert int(starts.max()) + 5 < 144
    result = trained(tmp_path, artifact, epochs=40)
    assert result.metrics["test_loss"] < 0.5 * math.log(8)
    assert result.metrics["perplexity"] == pytest.approx(math.exp(result.metrics["test_loss"]), rel=1e-4)


PLUGIN = """
import torch
from torch.utils.data import Dataset
from compiler.catalogue.decorators import dataset

@dataset
def arrays(count: int) -> dict:
    x = torch.linspace(-1, 1, count * 6).reshape(count, 6)
    return {"points": x, "classes": (x[:, 0] > 0).long()}

@dataset
class Lazy(Dataset):
    def __init__(self, count: int) -> None:
        self.all = arrays(count)

    def __len__(self) -> int:
        return len(self.all["points"])

    def __getitem__(self, index: int) -> dict:
        return {name: array[index] for name, array in self.all.items()}
"""


def test_a_plugin_gives_arrays_or_samples(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLUGIN)
    results = []
    for call in ("arrays(count=40)", "Lazy(40)"):
        section = TRAIN.replace("file: data.npz", f'dataset: "{call}"')
        artifact = compiled(tmp_path, section, plugins=[str(tmp_path / "own.py")])
        results.append(trained(tmp_path, artifact))
    assert_same_state(results[0].model, results[1].model)
    assert results[0].metrics == results[1].metrics


# Ctrl-C in another process.

PROGRAM = """
import sys
import compiler, runtime
from runtime.train import train
from runtime.training.outcome import Interrupted

try:
    train(compiler.compile(sys.argv[1]), out=sys.argv[2], epochs=100000)
except Interrupted as interruption:
    print(interruption)
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
def test_ctrl_c_leaves_a_whole_checkpoint_and_says_how_to_go_on(folder: Path) -> None:
    compiled(folder)
    command = [sys.executable, "-c", PROGRAM, str(folder / "spec.yaml"), str(folder / "out")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell lets what it starts in the background ignore interrupts, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = folder / "out" / "tiny" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    found = re.fullmatch(
        r"interrupted after (\d+) epochs?: go on with the same command and `--resume (\S+)`\n", out
    )
    assert found is not None, out
    assert "Traceback" not in err
    assert Path(found[2]) == checkpoint
    state = read_checkpoint(checkpoint)
    assert state["epoch"] + 1 == int(found[1])
    assert {path.name for path in checkpoint.parent.iterdir()} == {"checkpoint.safetensors", "metrics.csv"}
    resumed = trained(folder, compiled(folder), resume=checkpoint, epochs=int(found[1]) + 1)
    assert resumed.epochs == int(found[1]) + 1
    assert json.loads(json.dumps(dict(resumed.metrics))) == dict(resumed.metrics)
