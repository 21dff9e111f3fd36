"""Annotations of constructor arguments in emitted source."""

from __future__ import annotations

import ast

import pytest
import torch

from compiler.emit.annotations import annotation_of


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], "int"),
        ([1, 0.5], "float"),
        ([True], "bool"),
        (["same", 1], "str | int"),
        ([None, 2], "int | None"),
        ([None], "float | None"),
        ([[1, 2], [3]], "list[int]"),
        ([[[1], [2, 3]]], "list[list[int]]"),
        ([[1, 0.5]], "list[float]"),
        ([[]], "list[int]"),
        ([(1, 2)], "tuple[int, int]"),
        ([[1], None], "list[int] | None"),
        ([torch.float64], "torch.dtype"),
    ],
)
def test_an_annotation_covers_all_values(values: list[object], expected: str) -> None:
    annotation = annotation_of(values)
    assert annotation is not None
    assert ast.unparse(annotation) == expected


@pytest.mark.parametrize("values", [[range(3)], [1, object()], [[object()]], [()], []])
def test_values_that_have_no_annotation(values: list[object]) -> None:
    assert annotation_of(values) is None
