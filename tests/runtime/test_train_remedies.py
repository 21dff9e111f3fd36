"""What a loss would do silently, or say in torch's words alone, is refused with the way out."""

from pathlib import Path

import numpy as np
import pytest

import compiler
from runtime.train import train
from spec_schema.diagnostics import Diagnostic, SpecError

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model: [Linear(COUNT)]
train:
  data: {file: data.npz, x: FIELD, y: LABEL}
  loss: LOSS
  optimizer: AdamW
  batch: 8
  epochs: 1
"""


def trained(folder: Path, count: int, label: str, loss: str, field: str = "x") -> Diagnostic | None:
    """Train, and return what is refused."""
    draws = np.random.RandomState(0)
    numbers, classes = draws.normal(size=(16, 4)), draws.randint(0, 3, 16)
    np.savez(
        folder / "data.npz",
        x=numbers.astype("f4"),
        doubles=numbers,
        row=numbers[:, 0].astype("f4"),
        column=numbers[:, :1].astype("f4"),
        narrow=classes.astype("i4"),
        classes=classes,
    )
    text = SPEC.replace("COUNT", str(count)).replace("LABEL", label).replace("LOSS", loss)
    (folder / "spec.yaml").write_text(text.replace("FIELD", field))
    try:
        train(compiler.compile(folder / "spec.yaml"), out=folder / "out", progress=False, device="cpu")
    except SpecError as error:
        return error.diagnostics[0]
    return None


@pytest.mark.parametrize(
    "loss",
    ["mse_loss(output, y)", "l1_loss(y, output)", "((output - y) ** 2).mean()", "(y - output).abs().mean()"],
)
def test_a_column_against_a_row_is_refused(tmp_path: Path, loss: str) -> None:
    found = trained(tmp_path, 1, "row", loss)
    assert found is not None
    assert (found.code, found.help) == ("shape-mismatch", "write `output.squeeze(-1)`")
    assert "[8, 1]" in found.message
    assert trained(tmp_path, 1, "row", loss.replace("output", "output.squeeze(-1)")) is None
    assert trained(tmp_path, 1, "column", loss) is None


def test_pairs_that_are_meant_are_left_alone(tmp_path: Path) -> None:
    loss = "((y.unsqueeze(1) - y) * (output - output.mT)).square().mean()"
    assert trained(tmp_path, 1, "row", loss) is None


def test_labels_and_doubles_are_refused_with_the_conversion(tmp_path: Path) -> None:
    found = trained(tmp_path, 3, "narrow", "cross_entropy(output, y)")
    assert found is not None
    assert found.help == "convert the labels: `y.to(int64)`"
    assert trained(tmp_path, 3, "narrow", "cross_entropy(output, y.to(int64))") is None
    found = trained(tmp_path, 3, "classes", "cross_entropy(output, y)", "doubles")
    assert found is not None
    assert (found.code, "array.astype('float32')" in (found.help or "")) == ("data-shape", True)
