"""Sums and products of expressions that are a wanted size, for layers that get what several others made."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from compiler.emit.trees import copy_tree

Row = tuple[Any, ...]
"""A value in each case."""


def sum_of(wanted: Row, rows: Mapping[Row, ast.expr]) -> ast.expr | None:
    """Return the sum or product of two expressions, or the sum of one and a product, that is the wanted value."""
    products = {
        tuple(a * b for a, b in zip(one, two, strict=True)): ast.BinOp(x, ast.Mult(), y)
        for (one, x), (two, y) in combinations(rows.items(), 2)
    }
    doubles = {
        tuple(2 * a for a in row): ast.BinOp(ast.Constant(2), ast.Mult(), c) for row, c in rows.items()
    }
    terms: dict[Row, ast.expr] = {**products, **doubles, **rows}
    if wanted in products:
        return copy_tree(products[wanted])  # type: ignore[no-any-return]
    for row, candidate in rows.items():
        rest = tuple(a - b for a, b in zip(wanted, row, strict=True))
        if rest in terms:
            return ast.BinOp(copy_tree(candidate), ast.Add(), copy_tree(terms[rest]))
    return None
