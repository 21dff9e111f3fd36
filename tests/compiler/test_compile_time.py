"""Compiling takes so much time and no more, whichever stage takes it: with a clock that the test turns."""

from __future__ import annotations

import re

import pytest

import compiler
from spec_schema.clock import Clock

VARIABLES = "".join(f"  v{number}: {number}\n" for number in range(20))
LAYERS = ", ".join(f"Linear({number})" for number in range(24, 4, -1))
METRIC = "Accuracy(task='multiclass', num_classes=4)"
METRICS = "".join(f'    a{number}: "{METRIC}"\n' for number in range(20))
SPEC = f"""
spec: 1
inputs: {{x: "float32[batch, 8]"}}
vars:
{VARIABLES}
model: [{LAYERS}]
placement: [{{"0": cpu}}, {{"1": "cuda:0"}}]
train:
  data: {{file: none.npz, x: images, y: labels, test: 0.2}}
  loss: cross_entropy(output, y)
  optimizer: SGD(lr=0.1)
  batch: 8
  epochs: 1
  metrics:
{METRICS}
"""
MESH = f"""
spec: 1
inputs: {{x: "float32[batch, 8]"}}
model: [{LAYERS}]
mesh:
  axes: {{tp: 2}}
  split: [{", ".join(["{'0': colwise}"] * 20)}]
"""
STAGES = ("load", "resolve", "infer", "rules", "placement", "emit", "train")


class Turned:
    """Stands still, but for one stage, in which each look takes a second."""

    def __init__(self, stage: str) -> None:
        self.stage, self.now = stage, 0.0
        self.clock = Clock(10, self.read)

    def read(self) -> float:
        self.now += self.clock.stage == self.stage
        return self.now


@pytest.mark.parametrize("stage", [*STAGES, "mesh"])
def test_each_stage_looks_at_the_clock(stage: str) -> None:
    turned = Turned(stage)
    with turned.clock.running(), pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(MESH if stage == "mesh" else SPEC)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("too-slow", "compiling takes more than 10 seconds")
    assert found.span is not None
    took = re.fullmatch(rf"{stage} took (\d+).0 s", found.notes[-1])
    assert took is not None
    assert int(took[1]) < 40, "what is left of the stage is given up"


def test_it_compiles_when_time_stands_still() -> None:
    turned = Turned("none")
    with turned.clock.running():
        compiler.compile_text(SPEC)
    assert set(turned.clock.spent) == {*STAGES, "verify"}


def test_what_is_asked_later_is_not_timed() -> None:
    turned = Turned("none")
    with turned.clock.running():
        artifact = compiler.compile_text(SPEC)
    turned.now += 1000
    assert artifact.source
    assert artifact.training is not None
