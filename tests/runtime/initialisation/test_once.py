"""Nothing is drawn twice: each tensor that a rule draws once, and what is computed or constant never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.build import assemble
from runtime.placement import settle
from runtime.random import CHUNK, Draws

SPEC = """
spec: 1
inputs: {x: "float[2, 5, 32]"}
model:
  layers:
    encoder: TransformerEncoder(TransformerEncoderLayer(4, 48, batch_first=True), 2)
    wide: Linear(5000)
    norm: LayerNorm
    one: Linear(32)
    two: Linear(32)
    rnn: LSTM(32)
    out: Bilinear(16)
  parameters:
    scale: {tensor: "float[32]", init: "mixture([0.5, normal], [0.5, uniform(1, 2)])"}
  buffers:
    mask: {value: "tril(ones(5, 5))"}
    noise: {tensor: "float[5, 32]", init: "normal - uniform(0, 1)"}
  forward: |
    x = encoder(x) * scale + noise
    y, state = rnn(one(two(x)))
    return out(x, y), norm(wide(x)), mask
share: {both: [one, two]}
init:
  - wide.weight: normal(std=0.02)
  - wide.weight: orthogonal
  - wide.weight: normal(std=0.01)
  - norm.weight: 1
"""

STREAMS = {"scale": 3, "noise": 2}
"""Tensors whose rule has several draws: a mixture of two laws needs a third, for the choice between them."""

FIXED = {"mask", "norm.weight", "norm.bias"}


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compiler.compile_text(SPEC)


def generators(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int | str]]:
    """Return a list that fills with the name, the stream and the chunk of each generator that is made."""
    made: list[tuple[str, int, int | str]] = []
    original = Draws._generator

    def counted(draws: Draws, chunk: int | str) -> torch.Generator:
        made.append((draws.name, draws.stream, chunk))
        return original(draws, chunk)

    monkeypatch.setattr(Draws, "_generator", counted)
    return made


def is_constant(name: str) -> bool:
    torchs_own = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "in_proj_bias", "out_proj.bias")
    return name in FIXED or name.endswith(torchs_own)


def test_each_chunk_is_drawn_once(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generators(monkeypatch)
    runtime.build(artifact, device="cpu")
    assert max(Counter(made).values()) == 1, "a chunk was drawn twice"
    drawn = Counter(name for name, _, _ in made)
    for row in artifact.plan.rows:
        chunks = -(-row.elements // CHUNK)
        expected = 0 if is_constant(row.name) else chunks * STREAMS.get(row.name, 1)
        assert drawn.pop(row.name, 0) == expected, row.name
    assert not drawn, "something else was drawn than the tensors of the plan"
    assert any(chunk == 4 for _, _, chunk in made), "no tensor is large here"


def test_a_tensor_with_two_names_is_drawn_once(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generators(monkeypatch)
    runtime.build(artifact, device="cpu")
    assert {name for name, _, _ in made if name.startswith(("one.", "two."))} == {"one.weight", "one.bias"}


class RealDraws(TorchDispatchMode):
    """Counts the random operations on tensors that lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.real = self.meta = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            if isinstance(result, Tensor) and result.is_meta:
                self.meta += 1
            else:
                self.real += 1
        return result


def test_constructors_draw_nothing(artifact: Artifact) -> None:
    """The model is made on the meta device, where torch's own initialisation changes nothing and is left out."""
    state = torch.get_rng_state()
    with RealDraws() as counted:
        assemble(settle(artifact, "cpu"), lambda row: torch.zeros(row.shape, dtype=row.dtype))
    assert counted.meta <= 1  # that of attention, which cannot be told from other functions
    assert counted.real == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_loading_draws_nothing(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.save(runtime.build(artifact, device="cpu"), tmp_path / "model.safetensors")
    made = generators(monkeypatch)
    runtime.load(tmp_path / "model.safetensors", device="cpu")
    assert made == []


def test_a_model_on_meta_is_made_of_no_values(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generators(monkeypatch)
    with RealDraws() as counted:
        model = runtime.build(artifact, device="meta")
    assert made == []
    assert counted.real == 0
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()} == {
        name: (row.shape, row.dtype) for row in artifact.plan.rows for name in row.names
    }
    assert all(tensor.is_meta for tensor in model.state_dict().values())


UNSAVED = """
spec: 1
inputs: {x: "float[2, 4]"}
model:
  buffers:
    passing: {tensor: "float[4]", init: "INIT", persistent: false}
  forward: return x + passing
"""


@pytest.mark.parametrize("init", ["normal", "2 * uniform(0, 1)", "mixture([0.5, 1], [0.5, 0])"])
def test_what_is_drawn_is_saved(init: str) -> None:
    """It would be drawn anew on load, by another seed perhaps."""
    with pytest.raises(compiler.SpecError, match="`passing` is not saved"):
        compiler.compile_text(UNSAVED.replace("INIT", init))


@pytest.mark.parametrize("init", ["ones", "0.5", "arange(4) / 2"])
def test_what_follows_from_the_spec_need_not_be_saved(init: str) -> None:
    compiler.compile_text(UNSAVED.replace("INIT", init))
