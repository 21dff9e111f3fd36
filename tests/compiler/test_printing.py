"""What each stage has, as text."""

from __future__ import annotations

import compiler
from compiler import printing
from compiler.load import load
from compiler.pipeline import TextFiles, registry
from compiler.resolve.program import resolve
from spec_schema.canonical import plain
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text

SPEC = """\
spec: 1
name: tour
vars: {width: 4, kinds: [1, 2]}
inputs: {x: "float32[batch, 4]"}
import:
  parts.yaml: [Part]
blocks:
  Gate(size, act=GELU):
    layers:
      fc: Linear(size)
      act: act
      maybe: {if: size > 100, then: Linear(size), else: ReLU}
    parameters:
      scale: {tensor: "float32[size]", init: ones}
    buffers:
      steps: {value: "arange(size)", persistent: false}
    forward: |
      y = maybe(act(fc(x)))
      return y * scale + steps
model:
  - first: Gate(width)
  - {residual: [Linear(width), ReLU]}
  - {parallel: {a: Linear(2), b: [Linear(3), Tanh]}, combine: cat(dim=1)}
  - {repeat: kinds, as: kind, of: "Linear(5 * kind)"}
  - {repeat: 2, of: Part, name: "part{index}"}
  - first_again: ReLU
  - first_again
share:
  tied: [part0.fc.bias, part1.fc.bias]
init:
  - Linear.weight: normal(std=0.02)
freeze: [/first.scale]
placement:
  - /: cpu
"""
PARTS = "spec: 1\nblocks:\n  Part:\n    layers: {fc: Linear(10)}\n    init:\n      - fc.bias: ones\n"

PROGRAM = """\
program Tour
input x: float32[batch, 4]
size batch = 2
var width = 4
var kinds = [1, 2]

block Part  # parts.yaml:3
  fc: layer Linear(10)
  init fc.bias: ones  # parts.yaml:6

block Gate(size, act=GELU)  # spec.yaml:8
  fc: layer Linear(size)
  act: recipe act
  maybe: if size > 100
    then layer Linear(size)
    else layer ReLU
  parameter scale: float32[size], init ones
  buffer steps = arange(size), not saved
  forward(x):
    y = maybe(act(fc(x)))
    return y * scale + steps
"""


def artifact() -> compiler.Artifact:
    return compiler.compile_text(SPEC, imports={"parts.yaml": PARTS})


def test_the_document_is_yaml_that_reads_as_the_same_spec() -> None:
    main, imported = printing.print_document(artifact().canonical).split("# imported: parts.yaml\n")
    assert plain(read_text(main, "a", DEFAULT_LIMITS)) == plain(read_text(SPEC, "b", DEFAULT_LIMITS))
    assert plain(read_text(imported, "a", DEFAULT_LIMITS)) == plain(read_text(PARTS, "b", DEFAULT_LIMITS))


def test_the_program_has_every_node_and_every_rule() -> None:
    loaded = load("spec.yaml", TextFiles({"spec.yaml": SPEC, "parts.yaml": PARTS}))
    text = printing.print_program(resolve(loaded, registry(())))
    assert text.startswith(PROGRAM)
    for line in (
        "  - first: block Gate(width)",
        "  - in place\n    residual, combined by +\n      - layer Linear(width)\n      - layer ReLU",
        "    parallel, combined by cat(dim=1)\n      - a: layer Linear(2)\n      - b: sequence",
        "  - repeat kinds as kind\n    layer Linear(5 * kind)",
        "  - repeat 2, named part{index}\n    block Part",
        "  - again first_again",
        "  share tied: part0.fc.bias, part1.fc.bias  # spec.yaml:29",
        "  init Linear.weight: normal(std=0.02)  # spec.yaml:31",
        "  freeze /first.scale  # spec.yaml:32",
        "  placement /: cpu  # spec.yaml:34",
    ):
        assert f"\n{line}\n" in text, line


def test_the_shapes_have_each_layer_with_what_was_inferred() -> None:
    lines = printing.print_inferred(artifact().inferred).splitlines()
    assert lines[:5] == [
        "Tour()  (x: [2, 4]) -> [2, 10]",
        "first: Gate(size=4, act=GELU)  (x: [2, 4]) -> [2, 4]  scale[4]  steps[4]",
        "first.fc: Linear(out_features=4)  inferred: in_features=4  weight[4, 4]  bias[4]",
        "first.act: GELU()",
        "first.maybe: ReLU()",
    ]
    assert "part1.fc: Linear(out_features=10)  inferred: in_features=10  weight[10, 10]  bias[10]" in lines


def test_the_plan_is_a_table_with_the_line_that_decided() -> None:
    lines = printing.print_plan(artifact().plan).splitlines()
    rows = {line.split()[0]: [cell.strip() for cell in line.split("  ")] for line in lines[1:]}
    assert lines[0].split() == ["name", "kind", "tensor", "device", "initialisation", "decided", "by"]
    assert rows["first.fc.weight"][-1] == "spec.yaml:31"
    assert rows["first.fc.bias"][-1] == "default"
    assert rows["first.scale"][-1] == "spec.yaml:14"
    assert "frozen" in rows["first.scale"]
    assert "buffer" in rows["first.steps"]
    assert rows["part0.fc.bias"][-1] == "parts.yaml:6"
    assert lines[-1] == "shared: part0.fc.bias = part1.fc.bias"
