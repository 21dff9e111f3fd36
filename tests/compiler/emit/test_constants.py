"""Constants in emitted source: folded where neither the value nor its type changes, and left alone elsewhere."""

from __future__ import annotations

import ast

import pytest

from compiler.emit.passes.constants import fold_constants


def folded(expression: str, arguments: str = "a: int, b: int, f: float, x: Tensor, flag: bool") -> str:
    tree = ast.parse(f"def make({arguments}):\n    return {expression}")
    (function,) = fold_constants(tree).body
    assert isinstance(function, ast.FunctionDef)
    return ast.unparse(function.body[0]).removeprefix("return ")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1 * (a * 64 // 64)", "a"),
        ("a * 128 // 64", "a * 2"),
        ("2 * (3 * a)", "6 * a"),
        ("a * 2 * b * 3", "a * 6 * b"),
        ("a + 0", "a"),
        ("0 + a", "a"),
        ("a - 0", "a"),
        ("a // 1", "a"),
        ("a ** 1", "a"),
        ("1 * f", "f"),
        ("1.0 * (f / 2)", "f / 2"),
        ("1 * len(x)", "len(x)"),
        ("[1 * index for index in range(3)]", "[index for index in range(3)]"),
        ("[1 * at for at, _ in enumerate(x)]", "[at for at, _ in enumerate(x)]"),
    ],
)
def test_what_changes_nothing_is_left_out(written: str, expected: str) -> None:
    assert folded(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "1.0 * a",  # makes a float of it
        "1.0 * f",  # f may be given an int
        "1 * flag",  # makes an int of it
        "1 * x",  # makes whole numbers of a tensor of truth values
        "f + 0",  # makes 0.0 of -0.0
        "f // 1",
        "a * 96 // 64",
        "a // 2 * 2",
        "(a + 64) // 64",
        "0.1 * (0.2 * f)",
        "0 - a",
        "a * 0",
        "a ** -1",
        "[1 * row for row in x]",
    ],
)
def test_what_changes_the_value_or_its_type_stays(written: str) -> None:
    assert folded(written) == ast.unparse(ast.parse(written))


@pytest.mark.parametrize(("changed", "last"), [("pass", "b"), ("a = x", "1 * b"), ("b = x", "1 * b")])
def test_values_of_local_names_are_known_where_they_are_bound_once(changed: str, last: str) -> None:
    tree = ast.parse(f"def f(a: int):\n    b = a * 2\n    {changed}\n    return 1 * b")
    assert ast.unparse(fold_constants(tree)).endswith(f"return {last}")
