"""First values of a window are those that the whole has there, and no more is drawn than the law needs."""

from __future__ import annotations

import random

import pytest
import torch

import compiler
import runtime
from runtime import windows
from runtime.random import CHUNK, Draws
from runtime.windows import Window, cut

SPEC = """
spec: 1
inputs: {x: "float32[batch, 12]", tokens: "int64[batch, time]"}
blocks:
  Own:
    parameters:
      mixed: {tensor: "float32[5, 6]", init: "mixture([0.5, normal], [0.5, uniform(1, 2)])"}
      summed: {tensor: "float32[5, 6]", init: normal / 2 + 1}
      cut: {tensor: "complex64[3, 4, 5]", init: trunc_normal(std=0.5)}
      number: {tensor: "float32[4]", init: 3}
      point: {tensor: "float32[]", init: normal}
      none: {tensor: "float32[0, 3]", init: normal}
    buffers:
      steps: {value: "arange(7)"}
    forward: return x + mixed.sum() + summed.sum() + cut.real.sum() + number.sum() + point + none.sum() + steps.sum()
model:
  layers:
    table: Embedding(9, 6, padding_idx=3)
    fc: Linear(8)
    twin: Linear(8)
    square: Linear(8, bias=False)
    norm: BatchNorm1d
    slim: Linear(4)
    own: Own
  forward: |
    return own(slim(norm(square(fc(x) + twin(x))))).sum() + table(tokens).sum()
init:
  - fc.weight: kaiming_normal
  - square.weight: orthogonal
  - twin: copy('fc')
  - slim.weight: xavier_uniform(gain=2)
  - slim.bias: constant(0.25)
parametrize:
  - slim.weight: weight_norm
placement:
  - table: {dtype: bfloat16}
"""


def some_window(shape: tuple[int, ...], source: random.Random) -> Window:
    bounds = [sorted((source.randint(0, size), source.randint(0, size))) for size in shape]
    return tuple(range(*pair) for pair in bounds)


@pytest.mark.parametrize("band", [1, 7, windows.BAND])
def test_a_window_has_the_values_of_the_whole(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BAND", band)
    artifact = compiler.compile_text(SPEC)
    expected = runtime.initial_values(artifact, seed=3)
    source = random.Random(band)
    for _ in range(20):
        chosen = {name: some_window(tuple(tensor.shape), source) for name, tensor in expected.items()}
        found = runtime.initial_values(artifact, seed=3, windows=chosen)
        for name, window in chosen.items():
            part = cut(expected[name], window)
            assert found[name].dtype == part.dtype
            assert found[name].is_contiguous()
            assert torch.equal(found[name], part), (name, window)


@pytest.mark.parametrize("window", [(range(2), range(3), range(1)), (range(1, 10), range(6)), (range(3),)])
def test_a_window_outside_is_refused(window: Window) -> None:
    with pytest.raises(ValueError, match=r"does not lie in `table.weight`"):
        runtime.initial_values(compiler.compile_text(SPEC), "table", windows={"table.weight": window})


@pytest.mark.parametrize("law", ["normal", "kaiming_uniform", "trunc_normal(std=3)", "zeros"])
@pytest.mark.parametrize("split", [0, 1])
def test_half_a_matrix_takes_half_its_draws(law: str, split: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are chunks, so that a window of columns can be drawn alone too where a row is larger than a band."""
    monkeypatch.setattr(windows, "BAND", CHUNK)
    text = f"spec: 1\ninputs: {{x: 'float32[1, {4 * CHUNK}]'}}\nmodel: ['Linear(4, bias=False)']\ninit: [weight: {law}]"
    drawn: list[int] = []
    fill = Draws._fill

    def watched(self: Draws, shape: tuple[int, ...], *rest: object) -> torch.Tensor:
        drawn.append(torch.Size(shape).numel())
        return fill(self, shape, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Draws, "_fill", watched)
    artifact = compiler.compile_text(text)
    window = (range(2), range(4 * CHUNK)) if split == 0 else (range(4), range(2 * CHUNK))
    part = runtime.initial_values(artifact, windows={"0.weight": window})["0.weight"]
    assert sum(drawn) == (0 if law == "zeros" else 8 * CHUNK)
    assert torch.equal(part, cut(runtime.initial_values(artifact)["0.weight"], window))
