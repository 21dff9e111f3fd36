"""Predictions are the bits that the model itself gives in batches of the same size: nothing else is done to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from tests.emitted_file import class_of

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, SIZES = 37, (1, 2, 5, 16, 36, 37, 64)
HEAD = "spec: 1\nname: net\ninputs: {x: 'float32[batch, 8, 6]'}\nmodel:\n"
ROWWISE = {
    "element-wise": "  - GELU\n  - Softmax(dim=-1)\n  - Tanh\n",
    "normalised": "  - LayerNorm\n  - BatchNorm1d\n  - GroupNorm(2)\n  - RMSNorm\n",
    "pooled": "  - MaxPool1d(2)\n  - AvgPool1d(3)\n  - Flatten\n",
    "reduced": "  layers: {act: Tanh}\n  forward: return act(x).sum(-1), x.mean(1), x.cumsum(2), x.amax(2)\n",
}
"""Models of operations that torch computes for each row alone, whatever the size of the batch."""
OTHERS = {
    "matrix products": "  - Linear(33)\n  - ReLU\n  - Linear(5)\n",
    "convolutions": "  - Conv1d(16, 3, padding=1)\n  - Dropout(0.5)\n  - Conv1d(4, 2, groups=2)\n",
    "recurrent": "  layers: {lstm: 'LSTM(7, batch_first=True)'}\n  forward: return lstm(x)[0]\n",
    "attention": "  layers: {out: Linear(3)}\n  forward: return out(scaled_dot_product_attention(x, x, x))\n",
}
"""Models of operations for which torch may choose another kernel in batches of another size."""


def rows() -> np.ndarray:
    return np.random.RandomState(0).normal(size=(COUNT, 8, 6)).astype(np.float32)


def built(text: str) -> nn.Module:
    model = runtime.build(compiler.compile_text(HEAD + text), seed=3, device="cpu")
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.add_(0.25 if buffer.is_floating_point() else 0)
    return model


def alone(text: str, model: nn.Module) -> nn.Module:
    """Return the model of the emitted file, with the same values."""
    net: nn.Module = class_of(compiler.compile_text(HEAD + text).source, "Net")()
    net.load_state_dict(model.state_dict())
    return net.eval()


def by_hand(model: nn.Module, size: int) -> list[Tensor]:
    """Return what a model gives for the rows, in batches of a size."""
    with torch.no_grad():
        found = [model(part) for part in torch.from_numpy(rows()).split(size)]
    parts = [each if isinstance(each, tuple) else (each,) for each in found]
    return [torch.cat(each) for each in zip(*parts, strict=True)]


def predicted(model: nn.Module, files: Path | list[Path], size: int) -> list[Tensor]:
    return list(runtime.predict(model, files, batch=size).values())


def equal(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "rows.npz", x=rows())
    return tmp_path / "rows.npz"


@pytest.mark.parametrize("text", {**ROWWISE, **OTHERS}.values(), ids={**ROWWISE, **OTHERS})
def test_they_are_those_of_the_emitted_file_in_the_same_batches(text: str, file: Path) -> None:
    model = built(text)
    net = alone(text, model)
    for size in SIZES:
        found = predicted(model, file, size)
        assert equal(found, by_hand(net, size)), f"batches of {size}"
        assert equal(found, predicted(model, file, size)), f"batches of {size}, again"


@pytest.mark.parametrize("text", ROWWISE.values(), ids=ROWWISE)
def test_they_are_the_same_in_every_batch_where_torch_computes_row_by_row(text: str, file: Path) -> None:
    model = built(text)
    expected = predicted(model, file, 1)
    for size in SIZES[1:]:
        assert equal(predicted(model, file, size), expected), f"batches of {size}"


def test_a_file_is_taken_by_itself(file: Path, tmp_path: Path) -> None:
    """A batch holds rows of one file, so that what comes before a file changes nothing of it."""
    model = built(OTHERS["matrix products"])
    np.savez(tmp_path / "before.npz", x=rows()[:3])
    for size in SIZES:
        (found,) = predicted(model, [tmp_path / "before.npz", file], size)
        assert equal([found[3:]], predicted(model, file, size))


def test_it_counts_the_rows_that_there_are(file: Path) -> None:
    """A last batch that is smaller stays so: a model that looks at its batch sees the rows of the file alone."""
    text = "  layers: {act: Tanh}\n  forward: return act(x) + x.shape[0] + x.mean()\n"
    model = built(text)
    for size in SIZES:
        assert equal(predicted(model, file, size), by_hand(model.eval(), size))
