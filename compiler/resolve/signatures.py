"""Block signatures, `Attention(dim, heads=8)`, and the inputs of `forward(a, b=None)`: read as a Python `def`."""

from __future__ import annotations

import ast
from typing import TypeVar

from compiler.program import Input, Parameter
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Expression
from spec_schema.names import name_problem
from spec_schema.reader import Scalar

P = TypeVar("P", Parameter, Input)
PREFIX = "def "


def read_signature(key: Scalar, make: type[P]) -> tuple[str, tuple[P, ...]]:
    """Return the name and the parameters of a signature.

    Raises:
        SpecError: the text is no signature, or has `*` parameters, annotations or a bad name.
    """
    name, _, rest = key.text.partition("(")
    name = name.strip()
    if not rest:
        problem = name_problem(name, key.span)
        if problem:
            raise SpecError([problem])
        return name, ()
    function = _parse(key)
    source = Expression(key, PREFIX + key.text + ": pass", -len(PREFIX), ast.Constant(None))
    _check(source, function)
    arguments = function.args.args
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(function.args.defaults))
    defaults += function.args.defaults
    parameters = tuple(
        make(a.arg, None if default is None else source.part(default), source.span(a))
        for a, default in zip(arguments, defaults, strict=True)
    )
    return function.name, parameters


def _parse(key: Scalar) -> ast.FunctionDef:
    try:
        tree = ast.parse(PREFIX + key.text + ": pass").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = []
    if len(tree) != 1 or not isinstance(tree[0], ast.FunctionDef):
        raise refuse(
            "bad-signature",
            "this is not a signature",
            key.span,
            help="write it as in a Python `def`: `Attention(dim, heads=8)`",
        )
    return tree[0]


def _check(source: Expression, function: ast.FunctionDef) -> None:
    arguments = function.args
    problems = []
    if (
        arguments.vararg
        or arguments.kwarg
        or arguments.kwonlyargs
        or arguments.posonlyargs
        or function.returns
    ):
        problems.append(
            Diagnostic(
                "bad-signature",
                "a signature has plain parameters only",
                source.scalar.span,
                help="write `Name(a, b=1)`",
            )
        )
    for argument in arguments.args:
        problem = name_problem(argument.arg, source.span(argument))
        if problem:
            problems.append(problem)
        if argument.annotation:
            problems.append(
                Diagnostic("bad-signature", "a parameter has no annotation", source.span(argument.annotation))
            )
    if problems:
        raise SpecError(problems)
