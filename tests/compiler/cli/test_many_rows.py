"""What `explain` says of equal layers is found and laid out once, however many they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import compiler
from compiler.cli.explain import print_rows
from compiler.cli.explained import Explained
from compiler.cli.outcome import Format
from compiler.rules.provenance import Provenance

SPEC = """
spec: 1
inputs: {{x: "float32[batch, 8]"}}
blocks:
  Block(width):
    layers: {{norm: LayerNorm, up: Linear(2 * width), down: Linear(width)}}
    forward: return x + down(up(norm(x)))
model: [{{repeat: {count}, of: {of}}}]
init: [Linear.bias: zeros]
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is laid out, and the tensors whose sizes are traced."""
    found: Counter[str] = Counter()

    def count(cls: type, name: str) -> None:
        function = getattr(cls, name)

        def counted(*arguments: Any) -> Any:
            found[name] += 1
            return function(*arguments)

        monkeypatch.setattr(cls, name, counted)

    count(Explained, "_laid_out")
    count(Provenance, "_sizes")
    return found


def explained(count: int, of: str) -> None:
    artifact = compiler.compile_text(SPEC.format(count=count, of=of))
    print_rows(artifact, list(artifact.plan.rows), Format.text)


def test_equal_blocks_are_looked_at_once(calls: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    explained(3, "Block(8)")
    few = dict(calls)
    calls.clear()
    explained(30, "Block(8)")
    assert calls == few == {"_laid_out": 6, "_sizes": 6}
    said = capsys.readouterr().out
    assert said.count("29.down.weight  float32[8, 16]\n") == 1


def test_copies_that_read_their_number_are_told_apart(
    calls: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    explained(4, "Linear(8 + index)")
    assert calls["_sizes"] == 8
    said = capsys.readouterr().out
    assert [f"index = {at}" in said for at in range(5)] == [True, True, True, True, False]
