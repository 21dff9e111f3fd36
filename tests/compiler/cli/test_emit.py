"""`emit`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import compiler
from compiler import printing
from compiler.emit.passes.table import NAMES, PASSES
from runtime.files.atomic import write_whole
from tests.compiler.cli.conftest import Call

ROOT = Path(__file__).parents[3]


def test_the_source_is_that_of_the_artifact(cli: Call, mlp: Path) -> None:
    result = cli("emit", mlp, "--set", "hidden=5")
    assert result.exit_code == 0
    assert result.stdout == compiler.compile(mlp, set={"hidden": 5}).source


def test_a_file_holds_the_same_and_stands_alone(cli: Call, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.py"
    result = cli("emit", mlp, "-o", target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert target.read_text() == compiler.compile(mlp).source
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    code = "import torch, model; print(tuple(model.Mlp()(torch.zeros(3, 4)).shape))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "(3, 2)\n"


def test_the_spec_is_not_overwritten(cli: Call, mlp: Path, tmp_path: Path) -> None:
    before = mlp.read_bytes()
    link = tmp_path / "link.yaml"
    os.symlink(mlp, link)
    for target in (mlp, link, tmp_path):
        assert cli("emit", mlp, "-o", target).exit_code == 2
    assert mlp.read_bytes() == before


def test_a_device_is_not_replaced(cli: Call, mlp: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for verb, option in (("emit", "-o"), ("run", "--save")):
        result = cli(verb, mlp, option, pipe)
        assert result.exit_code == 2
        assert result.stderr == f"error: `{pipe}` is no ordinary file\n"
    with pytest.raises(FileExistsError):
        write_whole(pipe, lambda stream: stream.write(b""))
    assert pipe.is_fifo()


def test_a_refused_spec_writes_nothing(cli: Call, broken: Path, tmp_path: Path) -> None:
    assert cli("emit", broken, "-o", tmp_path / "new" / "model.py").exit_code == 1
    assert list(tmp_path.iterdir()) == [broken]


def test_each_stage_is_printed(cli: Call, mlp: Path) -> None:
    artifact = compiler.compile(mlp, preset="wide")
    expected = {
        "load": printing.print_document(artifact.canonical),
        "resolve": printing.print_program(artifact.program),
        "infer": printing.print_inferred(artifact.inferred),
        "rules": printing.print_plan(artifact.plan),
        "emit": artifact.source,
    }
    for stage, text in expected.items():
        assert cli("emit", mlp, "--preset", "wide", "--until", stage).stdout == text, stage


def test_a_stage_is_reached_though_a_later_one_refuses(cli: Call, broken: Path) -> None:
    assert cli("emit", broken, "--until", "load").exit_code == 0
    assert cli("emit", broken, "--until", "resolve").exit_code == 1


def test_a_wrong_setting_is_refused_at_the_first_stage(cli: Call, mlp: Path) -> None:
    assert cli("emit", mlp, "--until", "load", "--set", "x=1").exit_code == 1


@pytest.mark.parametrize("stage", ["load", "resolve", "infer", "rules", "emit"])
def test_the_stages_of_a_saved_model(cli: Call, mlp: Path, tmp_path: Path, stage: str) -> None:
    model = tmp_path / "m.safetensors"
    cli("run", mlp, "--save", model)
    result = cli("emit", model, "--until", stage)
    assert result.exit_code == 0
    assert result.stdout


SCALES = """\
spec: 1
name: scales
inputs: {x: "float32[batch, 3, 8, 8]"}
model:
  layers:
    convs: {repeat: 2, of: "Conv2d(3, 5, padding=2, groups=1)"}
  forward: |
    ys = [conv(x) for conv in convs]
    for conv, y in zip(convs, ys):
        x = conv(x) + y
    return x
"""


@pytest.fixture
def scales(tmp_path: Path) -> Path:
    """A spec that says what several passes leave out or add."""
    path = tmp_path / "scales.yaml"
    path.write_text(SCALES)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_file_after_each_pass(cli: Call, mlp: Path, tmp_path: Path, name: str) -> None:
    result = cli("emit", mlp, "--preset", "wide", "--until", name)
    assert result.exit_code == 0
    ast.parse(result.stdout)
    target = tmp_path / "model.py"
    assert cli("emit", mlp, "--preset", "wide", "--until", name, "-o", target).exit_code == 0
    assert target.read_text() == result.stdout


def test_after_the_last_pass_it_is_the_whole(cli: Call, mlp: Path, scales: Path) -> None:
    for spec in (mlp, scales):
        assert cli("emit", spec, "--until", NAMES[-1]).stdout == cli("emit", spec).stdout


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("zips", "zip(self.convs, ys, strict=False)", "zip(self.convs, ys, strict=True)"),
        ("defaults", "padding=2, groups=1)", "padding=2)"),
        ("containers", "self.convs = nn.Sequential(", "self.convs = nn.ModuleList("),
    ],
)
def test_a_pass_is_seen_where_it_runs(cli: Call, scales: Path, name: str, before: str, after: str) -> None:
    first = cli("emit", scales, "--until", NAMES[NAMES.index(name) - 1]).stdout
    then = cli("emit", scales, "--until", name).stdout
    assert (before in first, after in first) == (True, False), first
    assert (before in then, after in then) == (False, True), then


def test_a_saved_model_after_a_pass(cli: Call, mlp: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    cli("run", mlp, "--save", model)
    assert cli("emit", model, "--until", "zips").stdout == cli("emit", mlp, "--until", "zips").stdout


def test_what_stopped_once_goes_on_for_the_next_file(cli: Call, scales: Path) -> None:
    whole = cli("emit", scales).stdout
    assert cli("emit", scales, "--until", "classes").stdout != whole
    assert cli("emit", scales).stdout == whole


@pytest.mark.parametrize(
    ("written", "help"),
    [
        ("zipz", "did you mean `zips`?"),
        ("Merging", "did you mean `merging`?"),
        ("infr", "did you mean `infer`?"),
        ("nothing", f"write one of load, resolve, infer, rules, emit, {', '.join(NAMES)}"),
    ],
)
def test_a_name_that_is_none(cli: Call, mlp: Path, written: str, help: str) -> None:
    result = cli("emit", mlp, "--until", written)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: `--until {written}` names no stage of the compiler, and no pass of code generation\n"
        f"  help: {help}\n"
    )


def test_the_help_and_the_document_have_all_passes(cli: Call) -> None:
    shown = cli("emit", "--help", width=400).stdout
    assert ", ".join(NAMES) in shown
    rows = "".join(f"| `{each.name}` | {each.does} |\n" for each in PASSES)
    assert rows in (ROOT / "docs/cli.md").read_text()


def test_load_and_resolve_do_not_import_torch(mlp: Path) -> None:
    for stage in ("load", "resolve"):
        code = (
            "import sys\nfrom compiler.cli.app import app\n"
            f"try:\n    app(['emit', {str(mlp)!r}, '--until', {stage!r}])\nexcept SystemExit:\n    pass\n"
            "print('torch' in sys.modules)"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert run.stdout.endswith("False\n"), run.stderr
