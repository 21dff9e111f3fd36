"""The recipes of docs/deploy.md, each run as a file of its own where Blockprint is not installed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model

import compiler
import runtime
from tests.docs.test_docs import Block, blocks, run_python, write_files
from tests.emitted_file import run_file
from tests.tools.tool_table import FOLDER

DOCUMENT = "docs/deploy.md"
RECIPES = {block.file: block for block in blocks(DOCUMENT) if block.file and block.file.endswith(".py")}
WITHOUT = """
import runpy, sys
sys.path.insert(0, "")
sys.modules.update(dict.fromkeys(("compiler", "runtime", "spec_schema")))
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Runs a file where none of our packages can be imported."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the document, and with what its own Python writes."""
    here = write_files(DOCUMENT, tmp_path_factory.mktemp("deploy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        namespace: dict[str, object] = {"__name__": "example"}
        for block in blocks(DOCUMENT):
            if block.kind == "python" and block.file is None:
                run_python(block, namespace)
    return here


def missing(block: Block, places: list[str]) -> list[str]:
    """Return what a recipe needs and does not find in these folders."""
    nodes = [
        each for each in ast.walk(ast.parse(block.text)) if isinstance(each, ast.Import | ast.ImportFrom)
    ]
    names = {str(each.module) if isinstance(each, ast.ImportFrom) else each.names[0].name for each in nodes}
    tops = sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names)
    found = [top for top in tops if PathFinder.find_spec(top, [*places, *sys.path]) is None]
    compiles = "aoti" in block.text and not any(map(shutil.which, ("g++", "c++", "clang++")))
    return [*found, *(["a C++ compiler"] if compiles else [])]


def run(file: str, places: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a file of the first folder, with what the others have beside what is installed."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, file],
        cwd=places[0],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_alone(name: str, folder: Path) -> None:
    block, places = RECIPES[name], [str(folder)]
    if missing(block, places):
        places.append(str(FOLDER))
    if missing(block, places):
        pytest.skip(f"{', '.join(missing(block, places))} is not there: `make test` fetches packages")
    done = run(name, places)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == (block.below or "")


def test_our_packages_cannot_be_imported_there(folder: Path) -> None:
    (folder / "ours.py").write_text("import runtime\n")
    done = run("ours.py", [str(folder)])
    assert done.returncode == 1
    assert "ModuleNotFoundError: import of runtime halted" in done.stderr


def test_a_file_with_tied_tensors_is_read_by_load_model(tmp_path: Path) -> None:
    layers = "inputs: {x: 'float[batch, 4]'}\nmodel: [a: Linear(4), b: Linear(4)]\n"
    artifact = compiler.compile_text(f"spec: 1\n{layers}share: {{w: [a.weight, b.weight]}}\n")
    model = runtime.build(artifact)
    runtime.save(model, tmp_path / "model.safetensors")
    alone = run_file(artifact.source, "Spec")
    load_model(alone, tmp_path / "model.safetensors")
    assert alone.get_parameter("a.weight") is alone.get_parameter("b.weight")
    x = torch.randn(3, 4)
    assert torch.equal(alone(x), model(x))
