"""Statements are told apart as they are written, without that they are written."""

from __future__ import annotations

import ast
from itertools import combinations

import pytest

from compiler.emit.trees import form

TEXTS = (
    "nn.init.zeros_(w)",
    "nn.init.zeros_(v)",
    "w.fill_(0.0)",
    "w.fill_(0)",
    "w.fill_(False)",
    "w.fill_(x=0.0)",
)


@pytest.mark.parametrize("text", TEXTS)
def test_equal_statements_are_one(text: str) -> None:
    assert form(ast.parse(text).body) == form(ast.parse(f"\n{text}").body)


@pytest.mark.parametrize(("one", "other"), list(combinations(TEXTS, 2)))
def test_other_statements_are_another(one: str, other: str) -> None:
    assert form(ast.parse(one).body) != form(ast.parse(other).body)


def test_zeros_of_both_signs_differ() -> None:
    assert form(ast.Constant(0.0)) != form(ast.Constant(-0.0))
