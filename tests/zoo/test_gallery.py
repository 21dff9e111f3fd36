"""Emitted files of the zoo as a reviewer gets them: the linter, the formatter and the type checker find nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests import type_checker
from tests.zoo.gallery import FOLDER, NAMES, gallery, source
from tests.zoo.parity import ROOT

RULES = "--select=E,F,W,I,UP,B"
"""Those that belong to no project: errors, imports, old forms and likely bugs."""
TOOLS = {
    "linter": ("ruff", "check", "--isolated", RULES, "--line-length=110", "--target-version=py311"),
    "formatter": ("ruff", "format", "--isolated", "--check", "--line-length=110"),
}
TYPES = "types"
OTHERS = sorted(path.stem for path in (ROOT / "specs/zoo").glob("*.yaml") if path.stem not in NAMES)
MARKS = (
    "OrderedDict",
    "fx",
    "type: ignore",
    "noqa",
    "*args",
    "strict=False",
    " 1 * ",
    " groups=1,",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder with the emitted files of all specs of the zoo, made by the first worker that asks for it."""
    base = tmp_path_factory.getbasetemp()
    made = (base if worker_id == "master" else base.parent) / "emitted"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            files = {name: (FOLDER / f"{name}.py").read_text() for name in NAMES}
            files |= {name: source(name) for name in OTHERS}
            made.mkdir()
            for name, text in files.items():
                (made / f"{name}.py").write_text(text)
    return made


def refusal(tool: str, folder: Path) -> str:
    """Return what a tool of the environment says of the files in a folder; nothing if it accepts them."""
    if tool == TYPES:
        return type_checker.refusal(folder)
    command = [sys.executable, "-m", *TOOLS[tool], "."]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else found.stdout + found.stderr


def test_the_gallery_is_current() -> None:
    found = {path.name: path.read_text() for path in FOLDER.iterdir() if path.is_file()}
    assert found == gallery(), "PYTHONPATH=. python tests/zoo/gallery.py"


@pytest.mark.parametrize("tool", [*TOOLS, TYPES])
def test_a_tool_accepts_every_file(tool: str, folder: Path) -> None:
    assert refusal(tool, folder) == ""


@pytest.mark.parametrize(
    ("tool", "broken"),
    [("linter", "import os\n"), ("formatter", "x = {  }\n"), ("types", "x: int = 'text'\n")],
)
def test_a_tool_refuses_what_is_wrong(tool: str, broken: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(broken)
    assert "broken.py" in refusal(tool, tmp_path)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_nothing_that_nobody_writes_by_hand(name: str, folder: Path) -> None:
    text = (folder / f"{name}.py").read_text()
    assert [mark for mark in MARKS if mark in text] == []
