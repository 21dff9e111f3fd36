"""Draws `docs/editor.svg`: a spec as an editor shows it. `python -m tests.compiler.editor.picture` renews it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from lsprotocol.types import MarkupContent

from compiler.editor.analysis import Origin, analysed, name_sizes
from compiler.editor.document import Document
from compiler.editor.hints import ARROW, hints
from compiler.editor.hover import hover
from compiler.editor.positions import Places

PICTURE = Path(__file__).parents[3] / "docs/editor.svg"
SPEC = """\
spec: 1
vars: {width: 64, classes: 10}
inputs: {image: "float32[batch, 3, 32, 32]"}

blocks:
  Block(channels, stride=1):
    layers:
      conv: Conv2d(channels, 3, stride, padding=1)
      norm: BatchNorm2d
    forward: |
      y = relu(norm(conv(x)))
      return dropout2d(y, 0.1, training)

model:
  - stem: Block(width)
  - body: Block(2 * width, stride=2)
  - AdaptiveAvgPool2d(1)
  - Flatten
  - head: Linear(classes)

init:
  - head.wieght: normal(std=0.01)
"""
HOVERED = "conv: Conv"
WIDE, HIGH, LEFT, TOP = 8.4, 21, 56, 40
STYLE = """
text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #24292f; white-space: pre }
.number { fill: #8c959f; text-anchor: end } .key { fill: #0550ae } .hint { fill: #6e7781; font-size: 12px }
.card { fill: #f6f8fa; stroke: #d0d7de } .wave { stroke: #cf222e; fill: none } .told { fill: #cf222e }
.page { fill: #fff } .soft { fill: #eff1f3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .key { fill: #79c0ff } .hint { fill: #9198a1 } .page { fill: #0d1117 }
  .card { fill: #161b22; stroke: #30363d } .soft { fill: #21262d } .wave { stroke: #ff7b72 } .told { fill: #ff7b72 }
}
"""


def picture() -> str:
    """Return the picture."""
    found = analysed(Origin(SPEC, Path("classifier.yaml")))
    name_sizes(found)
    card = list(_card(_hovered()))
    (wrong,) = found.diagnostics
    assert wrong.span is not None
    shown = {found.origin.text.count("\n", 0, hint.at): hint for hint in hints(found)}
    parts = [_line(number, text) for number, text in enumerate(SPEC.splitlines())]
    for number, hint in shown.items():
        length = len(SPEC.splitlines()[number])
        text = f"{ARROW}{hint.text}{' …' if hint.others else ''}"
        parts.append(_box(LEFT + (length + 1.5) * WIDE, number, text))
    line, column = wrong.span.file.position(wrong.span.start)
    start, end = LEFT + (column - 1) * WIDE, LEFT + (column - 1 + wrong.span.end - wrong.span.start) * WIDE
    parts.append(_wave(start, end, TOP + (line - 1) * HIGH + 4))
    below = TOP + len(SPEC.splitlines()) * HIGH
    for text in (f"error[{wrong.code}]: {wrong.message}", f"help: {wrong.help}"):
        parts.append(f'<text class="told" x="{LEFT}" y="{below + 8}">{escape(text)}</text>')
        below += HIGH
    height = below + 40 + len(card) * HIGH
    parts.append(
        f'<rect class="card" x="{LEFT}" y="{below + 22}" width="860" height="{len(card) * HIGH + 12}" rx="6"/>'
    )
    for number, text in enumerate(card):
        parts.append(f'<text x="{LEFT + 14}" y="{below + 44 + number * HIGH}">{escape(text)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {height + 12}" role="img">'
    title = (
        "<title>A spec in an editor: shapes behind layers, a mistake, and what hover says of a layer</title>"
    )
    page = f'<rect class="page" width="960" height="{height + 12}"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", page, *parts, "</svg>\n"])


def _hovered() -> str:
    """Return what hover says of a layer when the mistake is mended."""
    mended = SPEC.replace("wieght", "weight")
    found = analysed(Origin(mended, Path("classifier.yaml")))
    name_sizes(found)
    document = Document("file:///classifier.yaml")
    document.change(mended)
    document.take(found)
    told = hover(document, Places(mended).position(mended.index(HOVERED) + len(HOVERED)))
    assert told is not None
    assert isinstance(told.contents, MarkupContent)
    return told.contents.value


def _line(number: int, text: str) -> str:
    y = TOP + number * HIGH
    match = re.match(r"(\s*(?:- )?)([\w.]+(?:\([^)]*\))?:)?(.*)", text)
    assert match is not None
    blank, key, rest = match[1], match[2] or "", match[3]
    spans = f'{blank}<tspan class="key">{escape(key)}</tspan>{escape(rest)}'
    return f'<text class="number" x="{LEFT - 16}" y="{y}">{number + 1}</text><text x="{LEFT}" y="{y}">{spans}</text>'


def _box(x: float, number: int, text: str) -> str:
    y = TOP + number * HIGH
    box = (
        f'<rect class="soft" x="{x:.1f}" y="{y - 13}" width="{len(text) * 7.3 + 10:.1f}" height="17" rx="4"/>'
    )
    return f'{box}<text class="hint" x="{x + 5:.1f}" y="{y - 1}">{escape(text)}</text>'


def _wave(start: float, end: float, y: float) -> str:
    steps = "".join(" q 2 -4 4 0 t 4 0" for _ in range(int((end - start) / 8)))
    return f'<path class="wave" d="M {start:.1f} {y}{steps}"/>'


def _card(markdown: str) -> Iterator[str]:
    """Yield the lines of what hover says, without the signs of Markdown."""
    for line in markdown.splitlines():
        plain = re.sub(r"\*\*|`|\\(?=\W)", "", line)
        if line.startswith(("```", "|---")) or not plain.strip():
            continue
        if line.startswith("|"):
            cells = [cell.strip() for cell in plain.strip("|").split("|")]
            plain = f"{cells[0]:<8}{cells[1]:<42}{cells[2]}"
        yield plain if len(plain) <= 98 else f"{plain[:97]}…"


if __name__ == "__main__":
    PICTURE.write_text(picture())
