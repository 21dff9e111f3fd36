"""Makes docs/tools.md: `PYTHONPATH=. python tests/tools/tool_table.py`.

`python tests/tools/tool_table.py TOOL` uses one tool in a process of its own, and prints what comes of it as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from tests.tools.models import MODELS, Subject, built, by_hand
from tests.tools.tools import TOOLS, Tool

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/tools.md"
FOLDER = Path(sys.prefix) / "tools"
"""Where `make test` puts the packages that the tools need and nothing else may see."""
PINS = (ROOT / "constraints.txt", Path(__file__).with_name("packages.txt"))
HOLDS = "holds"
HEAD = """\
# The tools of PyTorch, tried

A built model is an ordinary `nn.Module`: what takes one takes it. Each tool is used on two models, one of images with
branches and batch normalisation, one of words with tied weights and frozen parts, and what comes of it is compared with
the model itself. Beside it stands the same model as one writes it by hand. `tests/tools/test_tools.py` tries all of it
again.

The table is made by `PYTHONPATH=. python tests/tools/tool_table.py`.

| tool | built from a spec | written by hand | version |
|---|---|---|---|
"""


def outcome(tool: Tool, make: Callable[[str], Subject], name: str) -> str:
    """Say what comes of a tool: that it holds, or which error is raised."""
    subject = make(name)
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a tool says of itself
            tool.use(subject)
    except Exception as error:
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''}"
    return HOLDS


def outcomes(tool: Tool) -> list[list[str]]:
    """Return what comes of a tool for each model: built, and by hand."""
    return [[outcome(tool, make, name) for make in (built, by_hand)] for name in MODELS]


def missing(tool: Tool) -> list[str]:
    """Return the packages of a tool that are not installed."""
    return [each for each in tool.needs if not (importlib.util.find_spec(each) or (FOLDER / each).is_dir())]


def apart(name: str) -> list[list[str]]:
    """Return what comes of a tool, used in a process that sees the packages that it needs."""
    path = os.pathsep.join([str(ROOT), str(FOLDER), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, str(Path(__file__)), name],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"{name}: {run.stderr[-2000:]}")
    found: list[list[str]] = json.loads(run.stdout.splitlines()[-1])
    return found


def cell(found: list[str]) -> str:
    """Return the outcomes for all models as one cell."""
    if len(set(found)) == 1:
        return found[0].replace("|", "\\|")
    parts = zip(MODELS, found, strict=True)
    return "<br>".join(f"{name}: {each}" for name, each in parts).replace("|", "\\|")


def pins() -> dict[str, str]:
    """Return the versions that the tests run with, by the name of the package."""
    lines = [line for path in PINS for line in path.read_text(encoding="utf-8").splitlines() if "==" in line]
    return dict(line.split("==") for line in lines)


def version(tool: Tool) -> str:
    return ", ".join(f"{name} {pins()[name]}" for name in ("torch", *tool.needs))


def row(tool: Tool, by_model: list[list[str]]) -> str:
    """Return the row of a tool with what came of it for each model."""
    cells = [cell([each[column] for each in by_model]) for column in (0, 1)]
    return f"| {tool.title} | {cells[0]} | {cells[1]} | {version(tool)} |\n"


def main(names: list[str]) -> None:
    """Write the table, or print what comes of one tool."""
    if names:
        print(json.dumps(outcomes(TOOLS[names[0]])))
        return
    lines = []
    for name in TOOLS:
        print(name, file=sys.stderr)
        lines.append(row(TOOLS[name], apart(name)))
    DOCUMENT.write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
