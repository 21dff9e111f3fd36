"""Statements of a program that do nothing are not in the emitted source; what may do something is."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

import compiler
import runtime
from compiler.emit.passes.discarded import drop_discarded
from tests.zoo.parity import stand_alone


def dropped(statements: str) -> str:
    return ast.unparse(drop_discarded(ast.parse(statements)))


def test_what_only_reads_is_left_out() -> None:
    assert dropped("_ = self.shared.weight\n_ = x\ny = x") == "y = x"


def test_a_body_keeps_a_statement() -> None:
    assert dropped("if c:\n    _ = x\nelse:\n    _ = x") == "if c:\n    pass"
    assert dropped("for y in x:\n    _ = y") == "for y in x:\n    pass"


@pytest.mark.parametrize("statement", ["_ = self.norm(x)", "y = x", "y, _ = x", "_ = x + 1", "self._ = x"])
def test_everything_else_stays(statement: str) -> None:
    assert dropped(statement) == statement


def test_a_layer_whose_result_is_thrown_away_still_runs() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 4]"}
model:
  layers: {norm: BatchNorm1d, unused: Linear(4)}
  forward: |
    _ = norm(x)
    _ = unused(x).shape
    return x
""")
    for model in (stand_alone(artifact), runtime.build(artifact, seed=0)):
        model(torch.ones(3, 4))
        assert isinstance(model.norm, nn.BatchNorm1d)
        assert model.norm.num_batches_tracked == 1
