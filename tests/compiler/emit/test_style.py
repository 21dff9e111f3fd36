"""The layout of emitted source: what `ast.unparse` writes otherwise than a person does."""

from __future__ import annotations

import ast

import pytest

from compiler.emit.style import format_tree


def formatted(source: str) -> str:
    tree = ast.parse(source)
    before = ast.dump(tree)
    text = format_tree(tree)
    assert ast.dump(tree) == before
    assert ast.dump(ast.parse(text)) == before
    return text


@pytest.mark.parametrize(
    "statement",
    [
        "return a, b",
        "x, y = a, b",
        "x, y = a + 1, f(b)",
        "return a, (b, c)",
        "return *a, b",
        "return a, b if c else d",
    ],
)
def test_several_values_stand_without_parentheses(statement: str) -> None:
    text = formatted(
        f"class A:\n    def f(self):\n        if a:\n            {statement}\n        {statement}"
    )
    assert text.splitlines()[3:] == [f"            {statement}", f"        {statement}"]


@pytest.mark.parametrize(
    "statement", ["pair = (a, b)", "x = f((a, b))", "(x,) = (a,)", "return (a,)", "return ()"]
)
def test_parentheses_that_say_something_stay(statement: str) -> None:
    assert formatted(f"def f():\n    {statement}").splitlines()[1] == f"    {statement}"


def test_a_text_stays_as_it_is() -> None:
    text = 'def f():\n    """Say\n    return (a, b)\n    """\n    return a, b\n'
    assert formatted(text) == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("x ** (-0.5)", "x**-0.5"),
        ("-(self.rank ** (-0.5))", "-(self.rank**-0.5)"),
        ("(a * b) ** (-1)", "(a * b) ** -1"),
        ("-x ** 2", "-(x**2)"),
    ],
)
def test_powers_stand_as_a_formatter_leaves_them(written: str, expected: str) -> None:
    assert formatted(f"y = {written}\n") == f"y = {expected}\n"
