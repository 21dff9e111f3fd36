"""Lines that join shared parameters: they read as such, and touch no other box."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from compiler.drawing.data import picture_data
from compiler.drawing.drawing import Drawing
from compiler.drawing.javascript import answer
from compiler.extras import DRAW

TIED = """\
spec: 1
inputs: {tokens: "int64[batch, time]"}
model:
  layers: {LAYERS, head: "Linear(16, bias=False)"}
  forward: |
    return head(SUM)
share:
  both: [embed.weight, head.weight]
"""


@pytest.mark.skipif(bool(DRAW.missing()), reason="the extra `draw` is not installed")
@pytest.mark.parametrize(
    "names", [["embed"], ["embed", "last"], ["first", "embed"], ["first", "embed", "last"]]
)
def test_a_tie_goes_behind_no_other_box(drawn_text: Callable[[str], Drawing], names: list[str]) -> None:
    layers = ", ".join(f"{name}: 'Embedding(16, 8)'" for name in names)
    text = TIED.replace("LAYERS", layers).replace("SUM", " + ".join(f"{name}(tokens)" for name in names))
    data = picture_data(drawn_text(text))
    program = f"""
      const picture = new Picture({json.dumps({**data, "style": ""})}, [], elk);
      await picture.svg();
      const boxes = [...picture.boxes.values()];
      const tied = boxes.filter((box) => ["embed", "head"].includes(box.path));
      const {{ ways }} = picture.ways(tied, 14, Math.max(...boxes.map((box) => box.x + box.width)));
      return JSON.stringify([tied.length, ways.map((way, at) => picture.isFree(way, tied[at]))]);"""
    assert json.loads(answer(program)) == [2, [True, True]]
