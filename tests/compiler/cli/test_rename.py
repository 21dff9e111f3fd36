"""`rename`."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
from tests.compiler.cli.conftest import Call

TEXT = """\
spec: 1
vars: {width: 8, depth: 2}                # width of a block
presets:
  width: {width: 16}
inputs: {x: "float32[batch, width]"}
blocks:
  Block(size, act=ReLU):
    layers:
      up: Linear(size * 2)
      act: act
      down: Linear(size)
    forward: |
      y = act(up(x))        # up, and
      return x + down(y)    # down again

  Stage(size):
    vars: {width: 2 * size}
    layers: {up: Linear(width), down: "Block(size=size, act=GELU)", last: Linear(8)}
    forward: return down(last(up(x)))
model:
  layers:
    h: {repeat: depth, of: Block(width)}
    stage: Stage(width)
    head: Linear(10)
  forward: |
    size = head(stage(h(x)))
    return size
init:
  - Linear.weight: normal(std=width ** -0.5)
  - Block.up.bias: zeros
  - h.*.down.weight: zeros
  - "h[depth - 1].up.weight": ones
freeze: [head]
"""
RENAMED = {
    ("depth", "layers_of_it"): [("depth: 2", "layers_of_it: 2"), ("repeat: depth", "repeat: layers_of_it"),
                                ("h[depth - 1]", "h[layers_of_it - 1]"), ("8, layers_of_it: 2}                #",
                                                                         "8, layers_of_it: 2}         #")],
    ("Block", "Unit"): [("Block(", "Unit("), ("Block.up", "Unit.up")],
    ("Stage.size", "dim"): [("Stage(size)", "Stage(dim)"), ("2 * size", "2 * dim"), ("size=size,", "size=dim,")],
    ("Block.size", "dim"): [("Block(size,", "Block(dim,"), ("Linear(size", "Linear(dim"), ("size=size", "dim=size")],
    ("Stage.width", "twice"): [("{width: 2", "{twice: 2"), ("{up: Linear(width)", "{up: Linear(twice)")],
    ("head", "out"): [("head: ", "out: "), ("head(", "out("), ("[head]", "[out]")],
    ("h", "blocks"): [("    h: ", "    blocks: "), ("(h(", "(blocks("), ("- h.", "- blocks."), ('"h[', '"blocks[')],
    ("Stage.last", "final"): [("last: ", "final: "), ("last(", "final(")],
}  # fmt: skip


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(("names", "changes"), RENAMED.items(), ids=map("-".join, RENAMED))
def test_all_uses_have_the_new_name(
    cli: Call, spec: Path, names: tuple[str, str], changes: list[tuple[str, str]]
) -> None:
    result = cli("rename", spec, *names)
    assert (result.exit_code, result.stderr) == (0, f"wrote {spec}\n")
    expected = TEXT
    for before, after in changes:
        expected = expected.replace(before, after)
    assert spec.read_text() == expected
    compiler.compile(spec)


def test_a_variable_is_not_the_preset_nor_what_a_block_calls_so(cli: Call, spec: Path) -> None:
    assert cli("rename", spec, "vars.width", "dim").exit_code == 0
    text = spec.read_text()
    assert "vars: {dim: 8, depth: 2}                  # width of a block\n" in text
    assert "  width: {dim: 16}\n" in text
    assert "    vars: {width: 2 * size}\n    layers: {up: Linear(width)," in text
    assert "normal(std=dim ** -0.5)" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nothing", "x1", "the spec has no variable, block, argument or layer `nothing`"),
        ("head", "h", "`h` is used already"),
        ("Block", "block", "`block` cannot be the name of a block"),
        ("width", "a-b", "`a-b` cannot be the name of a variable"),
        ("head", "2x", "`2x` cannot be the name of a layer"),
        ("head", "_fc", "`_fc` cannot be the name of a layer"),
        ("vars.depth", "width", "`width` is used already"),
        ("head", "last", "would mean something else"),  # what freezes it would freeze another one too
        ("Stage.up", "wide", "would mean something else"),
    ],
)
def test_what_is_refused_changes_nothing(cli: Call, spec: Path, old: str, new: str, message: str) -> None:
    if old == "Stage.up":
        spec.write_text(TEXT.replace("- Block.up.bias", "- up.bias"))
    before = spec.read_text()
    result = cli("rename", spec, old, new)
    assert result.exit_code == 1
    assert message in result.stderr
    assert spec.read_text() == before


def test_what_no_program_calls_by_its_key_may_have_any_key(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    text = (
        'spec: 1\ninputs: {x: "float32[4]"}\nblocks:\n  Block:\n    layers: {0 as one: Linear(4)}\n'
        "    forward: return one(x)\nmodel: [body: Block, head: Linear(2)]\n"
    )
    path.write_text(text)
    assert cli("rename", path, "head", "2x").exit_code == 0
    assert cli("rename", path, "Block.0", "1").exit_code == 0
    assert path.read_text() == text.replace("head", "2x").replace("0 as", "1 as")
    assert "`1` cannot be the name of a layer" in cli("rename", path, "2x", "1").stderr


def test_a_checkpoint_is_not_renamed(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "spec: 1\ninputs: {x: \"float32[4]\"}\nmodel: [head: Linear(2)]\n"
        "init:\n  - head: {checkpoint: a.safetensors, rename: {head: fc}}\n"
    )  # fmt: skip
    result = cli("rename", path, "head", "last")
    assert result.exit_code == 1
    assert "a checkpoint is read by the name `head`" in result.stderr


def test_what_begins_as_another_layer_is_renamed(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "spec: 1\ninputs: {x: \"float32[4]\"}\nmodel: [student: Linear(4), teacher: Linear(4)]\n"
        "init: [teacher: copy('student')]\n"
    )  # fmt: skip
    assert cli("rename", path, "student", "pupil").exit_code == 0
    assert path.read_text().count("pupil") == 2


def test_a_spec_that_is_refused_stays(cli: Call, broken: Path) -> None:
    before = broken.read_text()
    assert cli("rename", broken, "x", "y").exit_code == 1
    assert broken.read_text() == before


def test_diff_writes_nothing(cli: Call, spec: Path) -> None:
    result = cli("rename", spec, "head", "out", "--diff")
    assert "+    out: Linear(10)\n" in result.stdout
    assert spec.read_text() == TEXT


def test_expressions_of_mappings_and_buffers_that_change(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    text = """\
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Block(size):
    layers:
      fc: {layer: Linear, out_features: "${size}"}
    buffers: {mean: {tensor: "float[4]", init: zeros, updated: true}}
    forward: |
      mean = lerp(mean, x.mean(0), 0.1)
      return fc(x - mean)
model:
  - {layer: Block, size: 4}
"""
    path.write_text(text)
    assert cli("rename", path, "Block.size", "width").exit_code == 0
    assert cli("rename", path, "Block.mean", "center").exit_code == 0
    assert path.read_text() == text.replace("size", "width").replace("mean(0)", "MEAN").replace(
        "mean", "center"
    ).replace("MEAN", "mean(0)")
