"""The rules of an imported file come along with its blocks, and the importing file has the last word."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from compiler import Artifact
from tests.emitted_file import run_file

PARTS = """\
spec: 1
vars: {std: 0.25, tuned: true}
inputs: {x: "float[batch, 8]"}
blocks:
  Mlp(dim, std=5):
    layers: {up: Linear(dim), down: Linear(dim)}
    init: [up.weight: ones, down.bias: ones]
    forward: return down(up(x))
  Block(dim):
    - residual: [LayerNorm, Mlp(dim)]
model: [Block(8), {head: Linear(2)}]
init:
  - Linear.weight: constant(std)
  - head.weight: zeros
  - /0.weight: zeros
  - down.weight: checkpoint('weights.safetensors')
  - {if: tuned, then: [{LayerNorm.weight: 0.5}]}
freeze: [down.bias, head]
share:
  tied: [up.weight, down.weight]
  other: [up.bias, head.bias]
"""
SPEC = """\
spec: 1
import: {parts.yaml: [Block, {Mlp: Wide}]}
vars: {std: 7}
inputs: {x: "float[batch, 8]"}
model:
  - a: Block(8)
  - b: Wide(8)
  - c: Linear(8)
"""


def compiled(more: str = "", spec: str = SPEC) -> Artifact:
    return compiler.compile_text(spec + more, imports={"parts.yaml": PARTS})


def test_they_apply_wherever_the_block_is_placed() -> None:
    model = runtime.build(compiled(), device="cpu")
    for name in (
        "a.0.1.up.weight",
        "b.up.weight",
    ):  # by the file, after the rule of the block: std of the file
        assert model.get_parameter(name).eq(0.25).all(), name
    for name in ("a.0.1.down.bias", "b.down.bias"):  # by the block; frozen by the file
        assert model.get_parameter(name).eq(1).all(), name
        assert not model.get_parameter(name).requires_grad
    assert model.get_parameter("a.0.0.weight").eq(0.5).all()
    assert model.get_parameter("b.up.weight") is model.get_parameter("b.down.weight")
    assert model.get_parameter("c.weight").std() > 0, "nothing of it is about other layers"


def test_the_emitted_file_alone_does_the_same() -> None:
    artifact = compiled()
    model = runtime.build(artifact, device="cpu")
    alone = run_file(artifact.source, artifact.name)
    for name, parameter in alone.named_parameters():
        assert parameter.requires_grad == model.get_parameter(name).requires_grad
        if name not in ("c.weight", "c.bias", "a.0.1.up.bias", "b.up.bias"):
            assert torch.equal(parameter, model.get_parameter(name)), name


def test_the_importing_file_and_blocks_around_have_the_last_word() -> None:
    model = runtime.build(compiled("init: [b.*.weight: 2, a.**.down.bias: 3]\n"), device="cpu")
    assert model.get_parameter("b.up.weight").eq(2).all()
    assert model.get_parameter("a.0.1.down.bias").eq(3).all()
    around = SPEC.replace(
        "model:\n  - a: Block(8)", "blocks: {Around: {layers: {in: Block(8)}}}\nmodel:\n  - a: Around"
    )
    around = around.replace(
        "{layers: {in: Block(8)}}", "{layers: {inner: Block(8)}, init: [Linear.weight: 4]}"
    )
    model = runtime.build(compiled("", around), device="cpu")
    assert model.get_parameter("a.inner.0.1.up.weight").eq(4).all()


def test_the_provenance_is_the_imported_file() -> None:
    row = compiled("init: [b.*.weight: 2]\n").plan.by_name["b.up.weight"]
    found = [(d.text, d.where(), d.won) for d in row.decisions if d.section == "init" and d.place]
    assert found[:2] == [
        ("up.weight: ones", "parts.yaml:7", False),
        ("Linear.weight: constant(0.25)", "parts.yaml:13", False),
    ]
    assert ("b.*.weight: 2", "spec.yaml:9", True) in found


def test_a_rule_that_is_wrong_is_refused_in_its_file() -> None:
    wrong = PARTS.replace("constant(std)", "constan(std)")
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC, imports={"parts.yaml": wrong})
    assert {str(each.span).split(":")[0] for each in caught.value.diagnostics} == {"parts.yaml"}


def test_a_block_of_a_file_without_rules_is_one_class() -> None:
    parts = PARTS.partition("init:\n")[0]
    source = compiler.compile_text(SPEC, imports={"parts.yaml": parts}).source
    assert source.count("class Mlp") == 1
