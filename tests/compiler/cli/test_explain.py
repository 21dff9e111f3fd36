"""`explain`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from compiler.cli.explain import pages
from tests.compiler.cli.conftest import MLP, Call

HEAD = """\
head.weight  float32[2, 8]
  parameter  trained, on auto
  init       kaiming_uniform(a=sqrt(5))       PyTorch's default, overruled
  init       Linear.weight: normal(std=0.02)  mlp.yaml:18, overruled
  init       head.weight: ones                mlp.yaml:19
  device     auto                             default
  dtype      float32                          default
  size 0     2: out_features = 2              mlp.yaml:14
  size 1     8: in_features, inferred         mlp.yaml:16

head.bias  float32[2]
  parameter  frozen, on auto
"""


def test_every_rule_that_touched_a_parameter_in_order(
    cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mlp.parent)
    result = cli("explain", mlp.name, "head")
    assert result.exit_code == 0
    assert result.stdout.startswith(HEAD)
    assert ["freeze", "head.bias", "mlp.yaml:20"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_place_is_never_broken(cli: Call, mlp: Path, width: int) -> None:
    folder = mlp.parent / ("deep" * 8)
    folder.mkdir()
    moved = mlp.rename(folder / "mlp.yaml")
    relative = os.path.relpath(moved, mlp.parent)
    with contextlib.chdir(mlp.parent):
        lines = cli("explain", relative, "head", width=width).stdout.splitlines()
    assert [sum(f"{relative}:{number}" in line for line in lines) for number in (14, 16, 18, 19)] == [
        2,
        1,
        1,
        1,
    ]
    assert sum(f"{relative}:20" in line for line in lines) == 1
    assert max(map(len, lines)) <= width


def test_decisions_as_json(cli: Call, mlp: Path) -> None:
    weight, bias = json.loads(cli("explain", mlp, "head", "--format", "json").stdout)
    assert (weight["name"], weight["shape"], weight["dtype"]) == ("head.weight", [2, 8], "float32")
    assert [each["won"] for each in weight["decisions"]] == [False, False, True]
    assert [each["line"] for each in weight["decisions"]] == [None, 18, 19]
    assert weight["decisions"][2] == {
        "section": "init",
        "text": "head.weight: ones",
        "file": str(mlp),
        "line": 19,
        "won": True,
    }
    assert weight["dtype_from"] == {"text": "float32", "file": None, "line": None}
    assert [size["size"] for size in weight["sizes"]] == [2, 8]
    assert weight["sizes"][1]["from"] == [{"text": "in_features, inferred", "file": str(mlp), "line": 16}]
    assert not bias["trainable"]
    assert [(each["section"], each["line"]) for each in bias["decisions"]][-1] == ("freeze", 20)


def test_short_is_a_line_for_each_decision(cli: Call, mlp: Path) -> None:
    lines = cli("explain", mlp, "head.weight", "--format", "short").stdout.splitlines()
    assert lines[2] == f"head.weight: init head.weight: ones ({mlp}:19) decides"
    assert [line.rpartition(" ")[2] for line in lines[:3]] == ["overruled", "overruled", "decides"]
    assert lines[3:] == [
        "head.weight: device: auto (default)",
        "head.weight: dtype: float32 (default)",
        f"head.weight: size 0: 2: out_features = 2 ({mlp}:14)",
        f"head.weight: size 1: 8: in_features, inferred ({mlp}:16)",
    ]


def test_all_names_of_a_shared_tensor(cli: Call, mlp: Path) -> None:
    mlp.write_text(MLP.replace("deep: 2", "deep: 3") + "share:\n  tied: [body.1.0.weight, body.2.0.weight]\n")
    text = cli("explain", mlp, "body.2.0.weight", width=200).stdout
    assert text.startswith("body.1.0.weight  float32[8, 8]\n")
    assert "  is also    body.2.0.weight\n" in text
    assert f"{mlp.name}:22" in text


def test_a_selector_that_names_nothing(cli: Call, mlp: Path) -> None:
    result = cli("explain", mlp, "haed.weight")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: `haed.weight` names no parameter\n  help: did you mean `head.weight`? it names 1 tensor\n"
    )


def test_text_that_is_no_selector(cli: Call, mlp: Path) -> None:
    result = cli("explain", mlp, "head.[")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: `head.[`: this is not a selector")


def test_without_a_selector_everything_is_explained(cli: Call, mlp: Path) -> None:
    assert len(json.loads(cli("explain", mlp, "--format", "json").stdout)) == 6


# --- codes ----------------------------------------------------------------------------------------------


PAGE = """\
# shape-mismatch

Sizes differ.

```yaml
spec: 1

model: []
```

Mend them.
"""


@pytest.fixture
def two_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code, text in (("shape-mismatch", PAGE), ("bad-size", "# bad-size\n\nNo size.\n")):
        (tmp_path / f"{code}.md").write_text(text)
    found = {path.stem: path for path in sorted(tmp_path.glob("*.md"))}
    monkeypatch.setattr("compiler.cli.explain.pages", lambda: found)


@pytest.mark.usefixtures("two_pages")
def test_the_page_of_a_code(cli: Call) -> None:
    assert cli("explain", "shape-mismatch").stdout == (
        "shape-mismatch\n\nSizes differ.\n\n    spec: 1\n\n    model: []\n\nMend them.\n"
    )
    assert json.loads(cli("explain", "shape-mismatch", "--format", "json").stdout)["text"] == PAGE


@pytest.mark.usefixtures("two_pages")
def test_all_codes(cli: Call) -> None:
    text = cli("explain").stdout
    assert text.startswith("bad-size        No size\nshape-mismatch  Sizes differ\n")
    assert cli("explain", "--format", "short").stdout == "bad-size\nshape-mismatch\n"


@pytest.mark.usefixtures("two_pages")
def test_an_unknown_code(cli: Call) -> None:
    result = cli("explain", "shape-missmatch")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: there is no error code `shape-missmatch`, and no file of that name\n"
        "  help: did you mean `shape-mismatch`?\n"
    )


def test_the_pages_that_are_shipped_are_shown(cli: Call) -> None:
    assert {"shape-mismatch", "unknown-layer"} <= set(pages())
    assert cli("explain", "--format", "short").stdout.split() == sorted(pages())
    page = cli("explain", "shape-mismatch").stdout
    assert page.startswith("shape-mismatch\n")
    assert "```" not in page


def test_a_row_of_padding_is_said(cli: Call, tmp_path: Path) -> None:
    spec = tmp_path / "words.yaml"
    spec.write_text(
        'spec: 1\ninputs: {tokens: "int64[batch, time]"}\n'
        "model:\n  - Embedding(50, 8, padding_idx=-1)\ninit: [Embedding.weight: normal]\n"
    )
    lines = cli("explain", spec, "0.weight", "--format", "short").stdout.splitlines()
    assert f"0.weight: padding row 49 is zero, padding_idx of 0 ({spec}:4) decides" in lines
