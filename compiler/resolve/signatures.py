"""Block signatures, `Attention(dim, heads=8)`, and the inputs of `forward(a, b=None)`: read as a Python `def`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from compiler.program import Input, Parameter
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Expression, form_problems
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.names import name_problem
from spec_schema.reader import Scalar
from spec_schema.syntax import parse
from spec_schema.unquoted_call import open_brackets

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
    if open_brackets(key.text) > 0:
        opening = key.text.index("(")
        place = key.locate(opening, opening + 1)
        raise refuse("bad-signature", "this `(` is never closed", place, help="close it with `)`")
    if len(key.text) > DEFAULT_LIMITS.expression:
        message = f"a signature of {len(key.text):,} characters"
        raise refuse(
            "bad-signature", message, key.span, notes=(f"the limit is {DEFAULT_LIMITS.expression:,}",)
        )
    try:
        tree = parse(key, PREFIX + key.text + ": pass", -len(PREFIX), "exec")
    except SpecError as error:
        help = "write it as in a Python `def`: `Attention(dim, heads=8)`"
        found = [replace(d, code="bad-signature", help=d.help or help) for d in error.diagnostics]
        raise SpecError(found) from None
    assert isinstance(tree, ast.Module)
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.FunctionDef):
        return tree.body[0]
    raise refuse("bad-signature", "this is not a signature", key.span, help="write `Attention(dim, heads=8)`")


def _check(source: Expression, function: ast.FunctionDef) -> None:
    """Refuse what a `def` may have and a signature may not."""
    arguments = function.args
    odd = [*arguments.posonlyargs, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg, function.returns]
    problems: list[Diagnostic] = []
    for node in odd:
        if node is not None:
            message, help = "a signature has plain parameters only", "write `Name(a, b=1)`"
            problems.append(Diagnostic("bad-signature", message, source.span(node), help=help))
    name = name_problem(function.name, source.scalar.locate(0, len(function.name)))
    if name:
        problems.append(name)
    for default in arguments.defaults:
        problems.extend(form_problems(source, [default]))
    seen: set[str] = set()
    for argument in arguments.args:
        problems.extend(_parameter_problems(source, argument, seen))
        seen.add(argument.arg)
    if problems:
        raise SpecError(problems)


def _parameter_problems(source: Expression, argument: ast.arg, seen: set[str]) -> Iterator[Diagnostic]:
    place = source.span(argument)
    problem = name_problem(argument.arg, place.part(0, len(argument.arg)))
    if problem:
        yield problem
    if argument.annotation:
        help = "leave the annotation out"
        yield Diagnostic(
            "bad-signature", "a parameter has no annotation", source.span(argument.annotation), help=help
        )
    if argument.arg in seen:
        yield Diagnostic("duplicate-name", f"two parameters are named `{argument.arg}`", place)
