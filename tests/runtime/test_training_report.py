"""The report of a training: what it says is what was computed, and nothing in it is more than text."""

import base64
import io
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import compiler
import runtime
from runtime.classes import artifact_of
from runtime.report.charts import Series, histogram, line_chart, scatter_chart
from runtime.report.examined import HARDEST
from runtime.report.pictures import data_uri, png
from runtime.training.data import open_data
from runtime.training.outcome import Trained
from spec_schema.folders import Folders
from tests.runtime.points import TINY, write_points

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = """
train:
  data: {file: data.npz, x: points, label: classes, test: 0.5}
  loss: cross_entropy(output, label)
  optimizer: AdamW(lr=0.02, weight_decay=0.1)
  groups: {bias: {weight_decay: 0}}
  batch: 20
  epochs: 2
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=3)"}
  watch: [Linear.weight]
"""
NUMBERS = """
spec: 1
name: line
inputs: {x: "float32[batch, 2]"}
model: [Linear(1)]
train:
  data: {file: data.npz, x: x, y: y, test: 0.5}
  loss: LOSS
  optimizer: AdamW(lr=0.02)
  batch: 8
  epochs: 1
"""
AUTOENCODER = """
spec: 1
name: pictures
inputs: {image: "float32[batch, 1, 4, 6]"}
model:
  layers: {narrow: Linear(2), wide: Linear(24)}
  forward: |
    code = narrow(image.flatten(1))
    return wide(code), code
train:
  data: {file: data.npz, image: images}
  loss: |
    seen, code = output
    return mse_loss(seen, image.flatten(1)) + code.abs().mean()
  optimizer: AdamW
  batch: 8
  epochs: 1
"""


LETTERS = """
spec: 1
name: letters
inputs: {c: "int64[batch, 10]"}
model: ["Embedding(32, 4)", Linear(32), "transpose(1, 2)"]
train:
  data: {text: data.txt, c: characters, n: next_characters, context: 10, test: 0.5}
  loss: cross_entropy(output, n)
  optimizer: AdamW
  batch: 8
  epochs: 1
"""


class Page(HTMLParser):
    """A page as a browser reads it: its tags with their attributes, its text, and its tables and lists of terms."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.rows, self.terms = "", [], []  # type: ignore[var-annotated]
        self.within: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "dt":
            self.terms.append(["", ""])
        self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        if "style" in self.within:
            return
        self.text += data
        if self.within[-1:] and {"td", "th"} & set(self.within):
            self.rows[-1][-1] += data
        elif {"dt", "dd"} & set(self.within):
            self.terms[-1]["dd" in self.within] += data

    def values(self, name: str) -> list[str]:
        """Return what stands beside a term, wherever it comes."""
        return [value for term, value in self.terms if term == name]


def trained(folder: Path, text: str, **options: object) -> Trained:
    (folder / "spec.yaml").write_text(text)
    artifact = compiler.compile(folder / "spec.yaml")
    return runtime.train(artifact, out=folder / "out", progress=False, device="cpu", **options)  # type: ignore[arg-type]


def page_of(result: Trained) -> Page:
    assert result.report is not None
    return Page(result.report)


def held_back(result: Trained, folder: Path) -> dict[str, Tensor]:
    """Return the whole test split."""
    artifact = artifact_of(result.model)
    assert artifact.training is not None
    items = open_data(artifact, artifact.training, Folders(folder)).test
    assert items is not None
    return dict(items[items.in_order()])


def test_classes_and_hardest_examples_are_those_of_the_test_split(tmp_path: Path) -> None:
    write_points(tmp_path, 60)
    result = trained(tmp_path, TINY + CLASSES)
    page, batch = page_of(result), held_back(result, tmp_path)
    with torch.no_grad():
        output = result.model.eval()(batch["x"])
    counts = torch.zeros(3, 3, dtype=torch.int64)
    for true, predicted in zip(batch["label"], output.argmax(1), strict=True):
        counts[true, predicted] += 1
    head = page.rows.index(["", "0", "1", "2"])
    rows = [[str(number), *map(str, counts[number].tolist())] for number in range(3)]
    assert page.rows[head + 1 : head + 4] == rows
    share = f"{result.metrics['accuracy']:.1%}"
    assert f"{int(counts.trace())} of 30 are right, {share}." in page.text
    losses = F.cross_entropy(output, batch["label"], reduction="none")
    hardest = losses.argsort(descending=True)[:HARDEST].tolist()
    assert page.values("example") == [str(place) for place in hardest]
    assert [float(text) for text in page.values("loss")] == pytest.approx(losses[hardest].tolist(), rel=1e-3)
    assert page.values("true") == [str(int(batch["label"][place])) for place in hardest]


def test_results_groups_curves_and_the_spec_are_there(tmp_path: Path) -> None:
    write_points(tmp_path, 60)
    result = trained(tmp_path, TINY + CLASSES)
    page = page_of(result)
    for name, value in result.metrics.items():
        assert page.values(name)[0] == f"{value:.4f}"
    assert ["AdamW", "lr 0.02, weight_decay 0.1", "3", "160"] in page.rows
    assert ["AdamW", "lr 0.02, weight_decay 0", "3", "35"] in page.rows
    titles = [text for tag, text in headings(result) if tag == "h3"]
    assert titles[:4] == ["Loss", "accuracy", "Loss of each step", "Learning rate"]
    assert titles[-2:] == ["Norm", "Norm of the gradient"]
    assert [row[0] for row in page.rows[:3]] == ["epoch", "1", "2"]
    assert (TINY + CLASSES).strip() in page.text
    assert f"evaluate {result.path} --data-path {tmp_path}" in page.text


def headings(result: Trained) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    class Headings(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tag = tag

        def handle_data(self, data: str) -> None:
            if getattr(self, "tag", "") in ("h1", "h2", "h3") and data.strip():
                found.append((self.tag, data))

    assert result.report is not None
    Headings().feed(result.report.read_text())
    return found


HOSTILE = "</code></pre><script>alert(1)</script>"
CSV = f"""
spec: 1
name: texts
inputs: {{x: "float32[batch, 1]"}}
model: [Linear(2)]
train:                                   # {HOSTILE} \u202e
  data: {{file: data.csv, x: [x], label: label, test: 0.5}}
  loss: cross_entropy(output, label)
  optimizer: AdamW
  batch: 8
  epochs: 1
"""


def test_what_the_spec_and_the_data_say_is_text(tmp_path: Path) -> None:
    names = ["<script>alert(2)</script>", "<img src=x onerror=alert(3)> \x1b"]
    rows = [f'{number},"{names[number % 2]}"' for number in range(40)]
    (tmp_path / "data.csv").write_text("\n".join(["x,label", *rows, ""]))
    page = page_of(trained(tmp_path, CSV))
    tags = [tag for tag, _ in page.tags]
    assert "script" not in tags
    assert "img" not in tags
    assert HOSTILE in page.text
    assert page.text.count(names[0]) > 1
    assert "onerror=alert(3)> \\x1b" in page.text
    assert "\u202e" not in page.text
    assert "\\u202e" in page.text


def test_a_page_needs_nothing_beside_itself(tmp_path: Path) -> None:
    draws = np.random.RandomState(1)
    np.savez(tmp_path / "data.npz", images=draws.normal(size=(20, 1, 4, 6)).astype(np.float32))
    page = page_of(trained(tmp_path, AUTOENCODER))
    links = [
        value for _, found in page.tags for name, value in found.items() if name in ("src", "href", "srcset")
    ]
    assert len(links) == HARDEST
    assert all(str(link).startswith("data:image/png;base64,") for link in links)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form"}
    policy = next(found["content"] for tag, found in page.tags if found.get("http-equiv"))
    assert str(policy).startswith("default-src 'none';")
    assert "No examples were held back" in page.text
    assert all(found.get("alt") for tag, found in page.tags if tag == "img")


@pytest.mark.parametrize(
    "loss", ["mse_loss(output, y)", "(output.squeeze(1) - y.squeeze(1)).square().mean()"]
)
def test_numbers_are_held_against_the_true_ones(tmp_path: Path, loss: str) -> None:
    write_line(tmp_path)
    result = trained(tmp_path, NUMBERS.replace("LOSS", loss))
    page, batch = page_of(result), held_back(result, tmp_path)
    with torch.no_grad():
        error = result.model.eval()(batch["x"]) - batch["y"]
    assert float(page.values("mean error")[0]) == pytest.approx(float(error.mean()), rel=1e-3)
    assert float(page.values("mean absolute error")[0]) == pytest.approx(float(error.abs().mean()), rel=1e-3)
    assert float(page.values("root mean square")[0]) == pytest.approx(
        math.sqrt(float(error.square().mean())), rel=1e-3
    )
    spread = batch["y"] - batch["y"].mean()
    assert float(page.values("R²")[0]) == pytest.approx(
        1 - float(error.square().sum() / spread.square().sum()), rel=1e-3
    )


def write_line(folder: Path) -> None:
    draws = np.random.RandomState(3)
    x = draws.normal(size=(40, 2)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=(x @ [[2.0], [-1.0]] > 0).astype(np.float32))


def test_a_loss_that_changes_the_output_first_says_nothing_of_numbers(tmp_path: Path) -> None:
    write_line(tmp_path)
    page = page_of(trained(tmp_path, NUMBERS.replace("LOSS", "mse_loss(output.exp(), y)")))
    assert not page.values("mean error")
    assert page.values("example")


def test_one_logit_tells_two_classes(tmp_path: Path) -> None:
    write_line(tmp_path)
    result = trained(tmp_path, NUMBERS.replace("LOSS", "binary_cross_entropy_with_logits(output, y)"))
    batch = held_back(result, tmp_path)
    with torch.no_grad():
        right = ((result.model.eval()(batch["x"]) > 0) == (batch["y"] > 0.5)).sum()
    assert f"{int(right)} of 20 are right" in page_of(result).text


def test_a_report_changes_nothing_and_can_be_left_out(tmp_path: Path) -> None:
    write_points(tmp_path, 60)
    first = trained(tmp_path, TINY + CLASSES)
    assert first.report == tmp_path / "out" / "tiny.html"
    page, model = first.report.read_bytes(), first.path.read_bytes()
    again = trained(tmp_path, TINY + CLASSES)
    assert again.report is not None
    assert again.report.read_bytes() == page
    assert again.path.read_bytes() == model
    first.report.unlink()
    without = trained(tmp_path, TINY + CLASSES + "  log: {report: false}\n")
    assert without.report is None
    assert not first.report.exists()
    state, other = first.model.state_dict(), without.model.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert first.model.training == without.model.training


def test_a_training_that_is_resumed_at_its_end_leaves_the_same_report(tmp_path: Path) -> None:
    write_points(tmp_path, 40)
    first = trained(tmp_path, TINY + CLASSES)
    assert first.report is not None
    page = first.report.read_bytes()
    again = trained(tmp_path, TINY + CLASSES, resume=first.checkpoint)
    assert again.report is not None
    assert again.report.read_bytes() == page
    assert b"train_loss" in page


def test_a_picture_is_the_image_that_another_reader_sees() -> None:
    reader = pytest.importorskip("PIL.Image")
    for shape in ([1, 5, 9], [3, 8, 4]):
        image = torch.randint(256, shape, dtype=torch.uint8)
        with reader.open(io.BytesIO(png(image))) as opened:
            seen = torch.from_numpy(np.array(opened))
        assert torch.equal(seen.reshape(*shape[1:], shape[0]).permute(2, 0, 1), image)
    large = torch.linspace(-3, 5, 3 * 500 * 200).reshape(3, 500, 200)
    with reader.open(io.BytesIO(base64.b64decode(data_uri(large).partition(",")[2]))) as opened:
        assert opened.size == (45, 112)
        assert opened.getextrema()[0][0] < 3
        assert opened.getextrema()[2][1] > 252


def test_windows_of_a_text_are_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("the cat sat on a <b>mat</b>\n" * 20)
    page = page_of(trained(tmp_path, LETTERS))
    assert len(page.values("c")) == 12
    assert all(set(text) <= set("the cat sat on a <b>mat</b>\\n") for text in page.values("c"))
    assert "b" not in [tag for tag, _ in page.tags]


def test_values_that_are_no_numbers_are_not_drawn() -> None:
    nothing = [math.nan, math.inf, -math.inf, 1e308]
    assert line_chart("Loss", "epoch", [Series("a", list(enumerate(nothing)))]) is None
    assert scatter_chart("a", "b", "c", [(value, 1.0) for value in nothing]) is None
    assert histogram("a", "b", nothing) is None
    assert line_chart("Loss", "epoch", [Series("a", [(1, 0.5)])]) is None, "one point is no line"
    for values in ([1.0, 1.0], [1e-300, 1e299], [-1e299, 1e299], [5e-324, 1.0]):
        chart = line_chart("Loss", "epoch", [Series("a", list(enumerate([*values, *nothing])))], 0)
        assert chart is not None
        assert chart.y_ticks
        assert all(chart.top <= tick.at <= chart.bottom for tick in chart.y_ticks)
        assert all(chart.left <= tick.at <= chart.right for tick in chart.x_ticks)
        assert histogram("a", "b", values) is not None
