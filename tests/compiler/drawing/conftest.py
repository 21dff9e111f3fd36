"""Models that are drawn, each once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compiler.artifact import Artifact
from compiler.drawing.drawing import Drawing, draw
from compiler.pipeline import compile_text

SPEC = """\
spec: 1
name: drawn
vars: {dim: 8, depth: 4}
inputs: {tokens: "int64[batch, time]"}
blocks:
  Block(dim):
    layers:
      norm: LayerNorm
      up: Linear(2 * dim)
      down: Linear(dim)
    forward: |
      return x + down(gelu(up(norm(x))))
model:
  layers:
    embed: Embedding(16, dim)
    h: {repeat: depth, of: Block(dim)}
    head: Linear(16, bias=False)
  forward: |
    x = embed(tokens)
    first = h[0](x)
    return head(h(x) + first.flatten(1).unflatten(1, [-1, 8]))
init:
  - Linear.weight: normal(std=0.02)
  - head.weight: zeros
share:
  both: [embed.weight, head.weight]
freeze: ["h[:2]"]
"""


@pytest.fixture(scope="package")
def artifact() -> Artifact:
    return compile_text(SPEC)


@pytest.fixture(scope="package")
def drawing(artifact: Artifact) -> Drawing:
    return drawn(artifact)


def drawn(artifact: Artifact) -> Drawing:
    return draw(artifact.inferred, artifact.plan, artifact.name)


@pytest.fixture(scope="session")
def drawn_text() -> Callable[[str], Drawing]:
    """Return what draws the text of a spec."""
    return lambda text: drawn(compile_text(text))
