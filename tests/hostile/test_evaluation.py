"""Compile-time expressions give exactly what Python gives, or are refused for a reason that Python confirms."""

from __future__ import annotations

import ast
import math
import warnings
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.scalars import Scalar
from spec_schema.source import SourceFile, Span

NAMES = {
    "dim": 64,
    "heads": 4,
    "rate": 0.25,
    "sizes": [3, 5, 8],
    "act": "gelu",
    "flag": True,
    "rows": [[1, 2], [3]],
}
FUNCTIONS: dict[str, Any] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log": math.log,
    "zip": lambda *lists: list(zip(*lists)),  # noqa: B905 - as the language has it
    "enumerate": lambda items, *start: list(enumerate(items, *start)),
    "reversed": lambda items: list(reversed(items)),
}
EXAMPLES = max(2_000, settings.default.max_examples)

atoms = st.sampled_from(
    [*NAMES, *"0123789", "10", "64", "0.5", "1e-3", "1e300", "'a'", "''", "True", "None", "[]"]
)
atoms |= st.integers(0, DEFAULT_LIMITS.integer).map(str) | st.floats(0, allow_infinity=False).map(repr)
BINARY = [*"+ - * / // % & | ^ == != < <= > >= in and or".split(), "not in", "is not None and"]
ONE = "floor ceil sqrt log abs len int float round sum min max reversed enumerate range".split()
TWO = "min max log round zip range".split()


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    few = st.integers(-3, 5).map(str)
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(BINARY), inner),
        st.builds("({} ** {})".format, inner, few | st.sampled_from(["0.5", "53", "64", "65"])),
        st.builds(
            "({} {} {} {} {})".format, inner, st.sampled_from(["<", "=="]), inner, st.just("<="), inner
        ),
        st.builds("({}{})".format, st.sampled_from(["-", "+", "~", "not "]), inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}({})".format, st.sampled_from(ONE), inner),
        st.builds("{}({}, {})".format, st.sampled_from(TWO), inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({}, {})".format, inner, inner),
        st.builds("[*{}, {}]".format, inner, inner),
        st.builds("({})[{}]".format, inner, inner | few),
        st.builds("({})[{}:{}]".format, inner, few, few),
        st.builds("[{} for n in {}]".format, inner | st.sampled_from(["n", "n * dim"]), inner),
        st.builds("[n for n in {} if {}]".format, inner, inner | st.sampled_from(["n", "n > 2"])),
        st.builds("{{'a': {}}}['a']".format, inner),
    )


expressions = st.recursive(atoms, larger, max_leaves=12)


def ours(text: str) -> Any:
    scalar = Scalar(text, Span(SourceFile("spec.yaml", text), 0, len(text)), "plain", text)
    return evaluate(parse_expression(scalar), NAMES)


def pythons(text: str) -> Any:
    """Return what Python makes of an expression; it is made of the names above alone."""
    scope = {**FUNCTIONS, **NAMES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `0[0]`, which fails all the same
        exec(f"result = {text}", scope)
    return scope["result"]


def too_large(value: Any) -> bool:
    """Say whether a value, or one inside it, is beyond what a spec may hold."""
    if isinstance(value, float | complex):
        return isinstance(value, complex) or not math.isfinite(value)
    if isinstance(value, int):
        return abs(value) > DEFAULT_LIMITS.integer
    return isinstance(value, list | tuple | str | range) and (
        len(value) > 10_000 or (not isinstance(value, str | range) and any(map(too_large, value)))
    )


def justified(text: str) -> bool:
    """Say whether Python cannot compute an expression either, or gives something too large."""
    node = ast.parse(text, mode="eval").body
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        base, exponent = pythons(ast.unparse(node.left)), pythons(ast.unparse(node.right))
        if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1 and exponent > 64:
            return True  # Python would take for ever
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Mod):
        return too_large_product(node) or fails(text)
    return fails(text)


def too_large_product(node: ast.BinOp) -> bool:
    left, right = pythons(ast.unparse(node.left)), pythons(ast.unparse(node.right))
    if isinstance(node.op, ast.Mod):
        return isinstance(left, str)  # a format: the language has none
    lengths = [len(each) for each in (left, right) if isinstance(each, str | list | tuple)]
    factors = [each for each in (left, right) if isinstance(each, int)]
    return bool(lengths and factors) and lengths[0] * factors[0] > 10_000


def fails(text: str) -> bool:
    try:
        return too_large(pythons(text))
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return True


OTHER_REASONS = {"too-many-steps", "not-iterable", "expression-too-long", "expression-too-deep", "syntax"}
"""Bounds of the language, and what it does not go over though Python does: texts and dicts."""


@settings(max_examples=EXAMPLES)
@given(expressions)
def test_it_is_what_python_makes_of_it(text: str) -> None:
    try:
        found = ours(text)
    except SpecError as error:
        (reason,) = error.diagnostics
        assert reason.span is not None
        part = reason.span.text
        inside_loop = any(name.id == "n" for name in ast.walk(ast.parse(text)) if isinstance(name, ast.Name))
        bounded = part.startswith(("sum(", "round("))  # of numbers only; to a few digits only
        assert reason.code in OTHER_REASONS or inside_loop or bounded or justified(part), reason
        return
    wanted = pythons(text)
    assert (found, repr(found)) == (wanted, repr(wanted))


Exact = tuple[str, Fraction, Fraction]
"""A text, its value, and the largest value on the way to it."""


def combined(left: Exact, sign: str, right: Exact) -> Exact:
    (a, x, most), (b, y, more) = left, right
    value = {"+": x + y, "-": x - y, "*": x * y}[sign]
    return f"({a} {sign} {b})", value, max(most, more, abs(value))


integers = st.integers(-(10**6), 10**6)
fractions = st.recursive(
    integers.map(lambda n: (f"({n})", Fraction(n), abs(Fraction(n)))),
    lambda inner: st.builds(combined, inner, st.sampled_from("+-*"), inner),
    max_leaves=4,
)


@given(fractions, integers.filter(bool))
def test_whole_numbers_are_exact(number: Exact, divisor: int) -> None:
    """Against exact fractions: floor division and remainder too, for which floats are not enough."""
    text, value, most = number
    text = f"[{text}, {text} // {divisor}, {text} % {divisor}]"
    if most > DEFAULT_LIMITS.integer:
        with pytest.raises(SpecError):
            ours(text)
        return
    floor = math.floor(value / divisor)
    assert ours(text) == [value, floor, value - floor * divisor]
