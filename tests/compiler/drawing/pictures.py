"""The pictures of the documents: `PYTHONPATH=. python tests/compiler/drawing/pictures.py` renews them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compiler.diff.picture import compared
from compiler.drawing.drawing import Drawing, draw
from compiler.drawing.svg import svg
from compiler.pipeline import compile

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
SPECS = Path(__file__).parents[3] / "specs" / "zoo"
NAMES = ("gpt2", "unet", "bert_distilbert")


def drawing(name: str) -> Drawing:
    """Return the drawing of an architecture of the zoo."""
    artifact = compile(SPECS / f"{name}.yaml")
    return draw(artifact.inferred, artifact.plan, artifact.name)


def picture(name: str) -> str:
    """Return a picture as it is now."""
    if name != "bert_distilbert":
        return svg(drawing(name))
    before, after = (compile(SPECS / f"{each}.yaml") for each in name.split("_"))
    drawings = drawing("bert"), drawing("distilbert")
    return svg(compared(before, after, drawings, f"{before.name} → {after.name}"))


def stale() -> Iterator[str]:
    """Yield the names of pictures that are not as they would be drawn now."""
    for name in NAMES:
        path = FOLDER / f"{name}.svg"
        if not path.exists() or path.read_text("utf-8") != picture(name):
            yield name


def renew() -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        (FOLDER / f"{name}.svg").write_text(picture(name), "utf-8")


if __name__ == "__main__":
    renew()
