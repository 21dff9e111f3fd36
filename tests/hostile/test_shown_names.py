"""Whatever names a stranger chooses, `str(error)` and what the command line prints are lines that are safe to show."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compiler
import runtime
from compiler.catalogue.plugins import load_plugin
from compiler.cli.app import app
from runtime.files.header import write_header
from runtime.training.data import open_data
from spec_schema.canonical import to_yaml
from spec_schema.diagnostics import SpecError
from spec_schema.folders import Folders
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full, render_json, render_short
from spec_schema.shown import LONGEST
from tests.hostile.test_hostile_strings import AS_LITERAL, AS_NAME, AS_TEXT, PLUGIN

FORGED = "error[forged]: nothing"
NAMES = {
    "escape": "a\x1b[2J\x1b]0;b\x07",
    "return": f"a\r{FORGED}",
    "line": f"a\n{FORGED}",
    "separators": f"a\u2028{FORGED}\u2029{FORGED}\x85{FORGED}\x0b{FORGED}\x0c{FORGED}",
    "order": "a\u202e\u2066b\u200b",
    "controls": "a\x7f\x9b2J\x9d0;b\x9c",
    "long": "a" * 100_000,
}
LINE = 2 * LONGEST + 100
"""A place, a code and a message."""


def check(text: str) -> None:
    """Check that each line of a text prints, is of a bounded length, and is no forged one."""
    for line in text.split("\n"):
        assert line.isprintable(), line[:200]
        assert len(line) <= LINE
        assert not line.startswith(FORGED)


def check_error(error: Exception) -> None:
    check(
        str(error)[:LONGEST] if isinstance(error, OSError) else str(error)
    )  # the system quotes all of a name
    if isinstance(error, SpecError):
        check(render_full(error.diagnostics, False, DEFAULT_LIMITS))
        check(render_short(error.diagnostics, DEFAULT_LIMITS))
        assert render_json(error.diagnostics).isascii()


def attempted(work: Callable[[], Any]) -> Exception | None:
    """Return the error of some work, checked; warnings are checked too."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            work()
        except (Exception, KeyboardInterrupt) as error:
            check_error(error)  # type: ignore[arg-type]
            return error  # type: ignore[return-value]
        finally:
            for each in warned:
                check(str(each.message))
    return None


names = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
PLACES = {
    **{f"text: {title}": make for title, make in AS_TEXT.items()},
    **{f"literal: {title}": lambda name, make=make: make(repr(name)) for title, make in AS_LITERAL.items()},
    **{f"expression: {title}": make for title, make in AS_LITERAL.items()},
    **{f"name: {title}": make for title, make in AS_NAME.items()},
}


@names
def test_a_name_in_a_spec(name: str) -> None:
    refused = 0
    for make in PLACES.values():
        text = to_yaml(make(name))
        refused += attempted(partial(compiler.compile_text, text, plugins=[PLUGIN])) is not None
    assert refused > len(PLACES) // 2


@names
def test_a_name_that_the_caller_passes_on(name: str, tmp_path: Path) -> None:
    spec = 'spec: 1\nvars: {n: 4}\ninputs: {x: "float[2, 4]"}\nmodel: [Linear(n)]\n'
    artifact = compiler.compile_text(spec)
    model = runtime.build(artifact, device="cpu")
    model.register_parameter(name.replace(".", ""), torch.nn.Parameter(torch.zeros(1)))
    for work in (
        lambda: compiler.compile_text(spec, set={name: 1}),
        lambda: compiler.compile_text(spec, set={"n": name}),
        lambda: compiler.compile_text(spec, preset=name),
        lambda: compiler.compile_text(spec, name=f"{name}.yaml", set={"m": 1}),
        lambda: compiler.compile_text(f"{spec}more: 1\n", name=f"{name}.yaml"),
        lambda: compiler.compile(tmp_path / name),
        lambda: load_plugin(name),
        lambda: load_plugin(f"{name}.py"),
        lambda: runtime.build(artifact, device=name),
        lambda: runtime.initial_values(artifact, name),
        lambda: runtime.save(model, tmp_path / "m.safetensors"),
        lambda: runtime.load(tmp_path / name),
        lambda: runtime.save_tensors({name: 1}, tmp_path / "t"),
    ):
        assert attempted(work) is not None


def written(path: Path, tensors: list[str], metadata: object) -> Path:
    """Write a safetensors file whose tensors have one value each."""
    header = write_header(json.dumps(metadata), [(name, torch.float32, (1,)) for name in tensors])
    path.write_bytes(header + bytes(4 * len(tensors)))
    return path


@names
def test_a_name_in_a_file_of_tensors(name: str, tmp_path: Path) -> None:
    files = [
        written(tmp_path / "a.safetensors", [name], {name: name}),
        written(tmp_path / "b.safetensors", ["0.weight", name], {"format": name}),
        written(tmp_path / "c.safetensors", [name], {"blockprint": name}),
        written(
            tmp_path / "d.safetensors", [name], {"blockprint/1": f'{{"spec": {{}}, {json.dumps(name)}: 1}}'}
        ),
    ]
    for path in files:
        assert attempted(partial(runtime.load, path)) is not None
        assert attempted(partial(runtime.load_tensors, path)) is not None
        assert attempted(partial(planned, tmp_path, path.name)) is not None
    (tmp_path / "i.safetensors.index.json").write_text(json.dumps({"weight_map": {name: name}}))
    assert attempted(partial(planned, tmp_path, "i.safetensors.index.json")) is not None


def planned(folder: Path, checkpoint: str) -> None:
    """Plan what a checkpoint gives a small model."""
    spec = 'spec: 1\ninputs: {x: "float[2, 4]"}\nmodel: [Linear(1)]\ninit: [{Linear: {checkpoint: FILE}}]\n'
    runtime.load_plan(compiler.compile_text(spec.replace("FILE", checkpoint)), folder)


@names
def test_a_name_in_data(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **{name[:1_000]: np.zeros(3), "other": np.zeros(4)})
    train = {"loss": "mse_loss(output, y)", "optimizer": "SGD(lr=0.1)", "batch": 2, "epochs": 1}
    spec = {"spec": 1, "inputs": {"x": "float32[batch, 4]"}, "model": ["Linear(2)"]}
    for data in ({"file": "d.npz", "x": "xs", "y": name}, {"file": name, "x": "a", "y": "b"}):
        artifact = compiler.compile_text(to_yaml({**spec, "train": {**train, "data": data}}))
        assert artifact.training is not None
        training = artifact.training
        assert attempted(lambda: open_data(artifact, training, Folders(tmp_path))) is not None  # noqa: B023


VERBS = (
    *(["check"], ["check", "--format", "short"], ["summary"], ["emit", "--until", "infer"], ["emit"]),
    *(["explain", "{spec}", "/"], ["params"], ["params", "{spec}", "{name}"], ["run", "--set", "{name}=1"]),
    *(["check", "--set", "{name}"], ["check", "--preset", "{name}"], ["check", "--plugin", "{name}"]),
    *(["run", "--device", "{name}"], ["layers", "{name}"], ["explain", "{name}"], ["{name}"], ["load-plan"]),
    *(["run", "--save", "{name}.safetensors"], ["explain", "{spec}", "/", "--format", "short"], ["devices"]),
)
GOOD = 'spec: 1\ndoc: |\n  a text\ninputs: {x: "float[batch, 4]"}\nmodel: [Linear(2)]\ninit: [{Linear.bias: zeros}]\n'


@pytest.mark.parametrize("title", ["escape", "line", "separators", "controls"])
@pytest.mark.parametrize("text", [GOOD, f"{GOOD}more: 1\n"], ids=["fine", "refused"])
def test_what_the_command_line_prints(
    title: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has the name too, so that each place and each title has it."""
    monkeypatch.chdir(tmp_path)
    name = NAMES[title].replace("/", "")
    spec = Path(f"{name}.yaml")
    spec.write_text(text)
    for verb, *rest in VERBS:
        words = [word.format(spec=spec, name=name) for word in rest]
        takes_spec = "{spec}" not in rest and verb not in ("layers", "{name}") and rest != ["{name}"]
        words = [verb.format(name=name), *([str(spec)] if takes_spec else []), *words]
        result = CliRunner().invoke(app, words, prog_name="blockprint")
        assert result.exit_code in (0, 1, 2), (words, result.output)
        check(result.stdout)
        check(result.stderr)


def test_the_files_of_a_folder(tmp_path: Path) -> None:
    """Names of files are bytes, and need not be text."""
    (tmp_path / f"a\n{FORGED}").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/c\xff\x1b")
    error = attempted(partial(planned, tmp_path, "."))
    assert isinstance(error, SpecError)
    assert any("\\udcff" in note for note in error.diagnostics[0].notes)
