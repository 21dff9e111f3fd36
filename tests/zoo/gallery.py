"""Makes docs/gallery: `PYTHONPATH=. python tests/zoo/gallery.py`."""

from __future__ import annotations

from pathlib import Path

import compiler
from tests.zoo.parity import ROOT

NAMES = (
    *("resnet", "gpt2", "t5", "swin", "efficientnet"),
    *("mixtral", "vgg", "densenet", "convnext", "whisper"),
)
FOLDER = ROOT / "docs/gallery"
HEAD = """# The gallery

What `python -m compiler emit` writes for ten architectures of the [zoo](../zoo.md), at the values of their specs. The
files import torch, and einops in Swin, and nothing else. They pass `mypy --strict`, the linter and the
formatter, as the files of all other specs of the zoo do.

| file | spec | lines |
|---|---|---|
"""
TAIL = "\nThe gallery is made by `PYTHONPATH=. python tests/zoo/gallery.py`.\n"


def spec_of(name: str) -> Path:
    return ROOT / f"specs/zoo/{name}.yaml"


def source(name: str) -> str:
    """Return the emitted source of a spec of the zoo."""
    return compiler.compile(spec_of(name)).source


def gallery() -> dict[str, str]:
    """Return the files of the gallery with their texts."""
    sources = {f"{name}.py": source(name) for name in NAMES}
    rows = [
        f"| [{file}]({file}) | [{Path(file).stem}.yaml](../../specs/zoo/{Path(file).stem}.yaml) "
        f"| {text.count(chr(10))} |\n"
        for file, text in sources.items()
    ]
    return {"README.md": HEAD + "".join(rows) + TAIL, **sources}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for file, text in gallery().items():
        (FOLDER / file).write_text(text)


if __name__ == "__main__":
    main()
