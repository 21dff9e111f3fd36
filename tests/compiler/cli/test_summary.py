"""`summary`: how the tree is shown. What is in it is tested in `tests/runtime/test_summary.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.cli.summary import memory_text
from tests.compiler.cli.conftest import MLP, Call

TREE = """\
layer        type        output      parameters
───────────────────────────────────────────────
Mlp          Mlp         [batch, 2]         202
├─ body      Sequential  [batch, 8]         184
│  ├─ 0      Block       [batch, 8]          40
│  │  ├─ 0   Linear      [batch, 8]          40
│  │  └─ 1   ReLU        [batch, 8]
│  └─ 1 … 2  2 × Block   [batch, 8]      2 × 72
│     ├─ 0   Linear      [batch, 8]          72
│     └─ 1   ReLU        [batch, 8]
└─ head      Linear      [batch, 2]          18

parameters  202, 200 trainable
memory      0.789 KiB
FLOPs       704 for one forward of x: float32[batch, 4] at batch 2
"""


def test_the_tree_and_the_totals(cli: Call, mlp: Path) -> None:
    result = cli("summary", mlp, "--set", "deep=3")
    assert result.exit_code == 0
    assert result.stdout == TREE


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_it_fits_the_terminal(cli: Call, mlp: Path, width: int) -> None:
    result = cli("summary", mlp, width=width)
    assert max(map(len, result.stdout.splitlines())) <= width


def test_a_wide_terminal_shows_the_operations_of_each_layer(cli: Call, mlp: Path) -> None:
    wide, narrow = (cli("summary", mlp, width=width).stdout.splitlines()[0] for width in (140, 80))
    assert wide.split() == ["layer", "type", "output", "parameters", "FLOPs"]
    assert narrow.split() == ["layer", "type", "output", "parameters"]


def test_what_is_frozen_or_shared_is_marked(cli: Call, mlp: Path) -> None:
    mlp.write_text(
        MLP.replace(
            "freeze: [head.bias]", "freeze: [head]\nshare:\n  tied: [body.0.0.weight, body.1.0.weight]\n"
        )
        .replace("- Linear.weight: normal(std=0.02)", "- Linear.weight: zeros")
        .replace("Linear(width)", "Linear(width, bias=False)")
        .replace("float32[batch, 4]", "float32[batch, 8]")
    )
    lines = cli("summary", mlp).stdout.splitlines()
    assert next(line for line in lines if "head" in line).endswith("18 frozen")
    assert [line.split()[-1] for line in lines if "Block" in line] == ["64", "shared"]
    assert lines[-1] == "shared      body.0.0.weight is also body.1.0.weight"


def test_short_is_one_line(cli: Call, mlp: Path) -> None:
    assert cli("summary", mlp, "--format", "short").stdout == (
        "Mlp: 130 parameters, 0.508 KiB, 448 FLOPs at batch 2\n"
    )


def test_json_holds_the_tree(cli: Call, mlp: Path) -> None:
    found = json.loads(cli("summary", mlp, "--format", "json").stdout)
    assert (found["name"], found["parameters"], found["trainable"]) == ("Mlp", 130, 128)
    assert found["inputs"] == {"x": "float32[batch, 4]"}
    assert found["sizes"] == {"batch": 2}
    body, head = found["tree"]["children"]
    assert (head["path"], head["type"], head["output"]) == ("head", "Linear", "float32[batch, 2]")
    assert [child["path"] for child in body["children"]] == ["body.0", "body.1"]


def test_a_preset(cli: Call, mlp: Path) -> None:
    found = json.loads(cli("summary", mlp, "--preset", "wide", "--format", "json").stdout)
    assert found["parameters"] == 4 * 16 + 16 + 16 * 16 + 16 + 16 * 2 + 2


def test_a_saved_model_needs_no_values(cli: Call, mlp: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    saved = cli("run", mlp, "--preset", "wide", "--save", model)
    digest = saved.stderr.split()[-1]
    of_spec = cli("summary", mlp, "--preset", "wide").stdout
    assert cli("summary", model).stdout == f"{of_spec}\ndigest {digest}\n"
    assert json.loads(cli("summary", model, "--format", "json").stdout)["digest"] == digest
    result = cli("summary", model, "--preset", "wide")
    assert result.exit_code == 2
    assert "is a saved model" in result.stderr


def test_memory_is_shown_in_the_unit_that_fits() -> None:
    texts = [memory_text(count) for count in (0, 100, 2**10, 2**17, 2**20, 5 * 2**30)]
    assert texts == ["0 KiB", "0.0977 KiB", "1 KiB", "0.1 MiB", "1.0 MiB", "5,120.0 MiB"]
