"""`set`."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
from tests.compiler.cli.conftest import Call

TEXT = """\
spec: 1
vars: {width: 8, mode: "'tanh'"}     # sizes
inputs: {x: "float32[batch, 4]"}
blocks:
  Block(width):              # a block
    - up: Linear(4 * width)  # wide
    - GELU(approximate=mode)

model:
  - Block(width)
  - head: Linear(10)
# at the end
init:
  - Linear.weight: normal(std=0.02)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("key", "value", "before", "after"),
    [
        ("vars.width", "128", "width: 8, mode: \"'tanh'\"}     #", "width: 128, mode: \"'tanh'\"}   #"),
        ("vars.mode", "none", "'tanh'", "'none'"),
        ("blocks.Block.up", "Linear(2, bias=False)", "Linear(4 * width)  #", "Linear(2, bias=False)  #"),
        ("blocks.Block.0.up", "Linear(width)", "Linear(4 * width)  #", "Linear(width)      #"),
        ("model.head", "Linear(3)", "head: Linear(10)", "head: Linear(3)"),
        ("model.1", "Linear(3)", "- head: Linear(10)", "- Linear(3)"),
        ("init.0.Linear.weight", "zeros", "normal(std=0.02)", "zeros"),
        ("inputs.x", "float32[batch, 5]", "float32[batch, 4]", "float32[batch, 5]"),
        ("name", "net", "spec: 1\n", "spec: 1\nname: net\n"),
        ("freeze", "[head]", "normal(std=0.02)\n", "normal(std=0.02)\nfreeze: [head]\n"),
        ("vars.depths", "[1, 2]", "\"'tanh'\"}     #", "\"'tanh'\", depths: [1, 2]}  #"),
    ],
)
def test_one_value_changes(cli: Call, spec: Path, key: str, value: str, before: str, after: str) -> None:
    result = cli("set", spec, key, value)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"wrote {spec}\n")
    assert spec.read_text() == TEXT.replace(before, after)
    compiler.compile(spec)
    assert cli("set", spec, key, value).stderr == f"{spec} says so already\n"


@pytest.mark.parametrize(
    ("key", "value", "status", "message"),
    [
        ("vars.widht", "8", 2, "did you mean `vars.width`?"),
        ("modle", "[ReLU]", 2, "did you mean `model`?"),
        ("model.2", "ReLU", 2, "its items are 0 to 1"),
        ("vars.width.a", "8", 2, "the spec has no `vars.width.a`"),
        ("Block.up", "ReLU", 2, "did you mean `blocks.Block.up`?"),
        ("Block.0.up", "ReLU", 2, "did you mean `blocks.Block.0.up`?"),
        ("b.d.2", "ones", 2, "the spec has no `b`"),
        ("Linear.weight", "ones", 2, "the spec has no `Linear`"),
        ("nothing.there", "8", 2, "the spec has no `nothing`"),
        ("model.head", "Liner(3)", 1, "unknown-layer"),
        ("model.head", "[", 1, "yaml-syntax"),
        ("more", "8", 1, "unknown-key"),
        ("vars.width", "breadth", 1, "unknown-name"),
    ],
)
def test_what_is_refused_changes_nothing(
    cli: Call, spec: Path, key: str, value: str, status: int, message: str
) -> None:
    result = cli("set", spec, key, value)
    assert result.exit_code == status
    assert message in result.stderr
    assert spec.read_text() == TEXT


def test_diff_writes_nothing(cli: Call, spec: Path) -> None:
    result = cli("set", spec, "vars.width", "9", "--diff")
    assert "+vars: {width: 9, mode: \"'tanh'\"}     # sizes\n" in result.stdout
    assert spec.read_text() == TEXT


def test_json(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"spec": 1, "inputs": {"x": "float32[4]"}, "model": ["Linear(8)"]}')
    assert cli("set", path, "model.0", "Conv1d(8, 3)").exit_code == 1
    assert cli("set", path, "model.0", "Linear(8, bias=False)").exit_code == 0
    assert path.read_text().endswith('"model": ["Linear(8, bias=False)"]}')


def test_a_value_that_stands_elsewhere_too_is_not_set(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    text = "spec: 1\nvars: {a: &a 3, b: *a}\ninputs: {x: \"float32[4]\"}\nmodel: [Linear(a)]\n"  # fmt: skip
    path.write_text(text)
    result = cli("set", path, "vars.a", "4")
    assert result.exit_code == 1
    assert path.read_text() == text


def test_a_library_is_checked_as_far_as_it_can_be(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("spec: 1\nvars: {a: 3}\nblocks: {Block: [Linear(a)]}\n")
    assert cli("set", path, "vars.a", "4").exit_code == 0
    assert cli("set", path, "blocks", "4").exit_code == 1
    assert path.read_text() == "spec: 1\nvars: {a: 4}\nblocks: {Block: [Linear(a)]}\n"
