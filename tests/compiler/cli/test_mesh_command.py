"""`mesh SPEC`, and the mesh in what `explain` says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.cli.mesh import read_sizes
from compiler.cli.outcome import UsageProblem
from tests.compiler.cli.conftest import Call

SPEC = """\
spec: 1
inputs: {x: "float32[batch, 8]"}
model: [up: Linear(32), ReLU, down: Linear(8)]
mesh:
  axes: {dp: 2, tp: 2}
  shard: dp
  units: [up]
  split:
    - up: colwise
    - down: rowwise
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "model.yaml"
    path.write_text(SPEC)
    return str(path)


def test_what_each_rank_needs(cli: Call, spec: str) -> None:
    text = cli("mesh", spec).stdout
    assert "4 ranks, dp 2 × tp 2" in text
    for word in (
        "parameters",
        "gradients",
        "optimizer",
        "activations",
        "all-gather",
        "reduce-scatter",
        "all-reduce",
    ):
        assert word in text
    found = json.loads(cli("mesh", spec, "--mesh", "dp=1,tp=1", "--format", "json").stdout)
    assert (found["axes"], found["ranks"]) == ({"dp": 1, "tp": 1}, 1)
    assert found["parameters"] == found["gradients"] == 4 * (8 * 32 + 32 + 32 * 8 + 8)


def test_what_is_refused(cli: Call, spec: str, tmp_path: Path) -> None:
    assert cli("mesh", spec, "--mesh", "tp=3").exit_code == 1
    assert cli("mesh", spec, "--mesh", "pp=3").exit_code == 1
    assert cli("mesh", spec, "--mesh", "tp").exit_code == 2
    (tmp_path / "alone.yaml").write_text(SPEC[: SPEC.index("mesh:")])
    assert cli("mesh", str(tmp_path / "alone.yaml")).exit_code == 2


@pytest.mark.parametrize("given", ["tp", "tp=", "=2", "tp=two", "tp=-1", "tp=2,,dp=2"])
def test_sizes_that_are_none(given: str) -> None:
    with pytest.raises(UsageProblem):
        read_sizes([given])


def test_sizes() -> None:
    assert read_sizes(["dp=8, tp=2", "tp=4"]) == {"dp": 8, "tp": 4}
    assert read_sizes(None) == {}


def test_explain_says_how_a_parameter_lies_on_the_mesh(cli: Call, spec: str) -> None:
    text = cli("explain", spec, "weight", "--format", "short").stdout
    assert f"up.weight: mesh dimension 0 over tp, up: colwise ({spec}:9) decides" in text
    assert f"up.weight: mesh rows over dp, units: up ({spec}:7) decides" in text
    assert f"down.weight: mesh dimension 1 over tp, down: rowwise ({spec}:10) decides" in text
    assert f"down.weight: mesh rows over dp, with the root ({spec}:6) decides" in text


def test_sizes_are_for_ranks(cli: Call, spec: str) -> None:
    ended = cli("run", spec, "--mesh", "dp=2,tp=2")
    assert ended.exit_code == 2
    assert "`--mesh` is for several ranks, and this process is alone" in ended.stderr
    assert "torchrun --nproc-per-node 4" in ended.stderr
