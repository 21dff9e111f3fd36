"""The rules of `parametrize`: a selector, and a call of a parametrisation of torch."""

from __future__ import annotations

import ast
from collections.abc import Set

from compiler.catalogue.parametrization_table import PARAMETRIZATION_ARGUMENTS
from compiler.program import ParametrizeRule, Scope
from compiler.resolve.values import check_names
from spec_schema.diagnostics import Diagnostic, refuse
from spec_schema.grammar import Expression, parse_expression
from spec_schema.reader import Node, Scalar
from spec_schema.selectors import read_selector
from spec_schema.suggest import did_you_mean


def parametrize_rule(key: Scalar, value: Node) -> ParametrizeRule:
    """Read `selector: spectral_norm(n_power_iterations=2)`.

    Raises:
        SpecError: there is no such parametrisation, or it takes no such argument.
    """
    assert isinstance(value, Scalar)
    expression = parse_expression(value)
    tree = expression.tree
    function = tree.func if isinstance(tree, ast.Call) else tree
    if not isinstance(function, ast.Name) or function.id not in PARAMETRIZATION_ARGUMENTS:
        raise _unknown(expression, function)
    if isinstance(tree, ast.Call):
        _check_call(expression, tree, function.id)
    return ParametrizeRule(read_selector(key), expression, key.span)


def _unknown(expression: Expression, function: ast.AST) -> Exception:
    text = ast.unparse(function)
    near = did_you_mean(text.rpartition(".")[2], PARAMETRIZATION_ARGUMENTS)
    return refuse(
        "unknown-parametrization",
        f"there is no parametrisation `{text}`",
        expression.span(function),
        notes=() if near else (f"parametrisations: {', '.join(PARAMETRIZATION_ARGUMENTS)}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def _check_call(expression: Expression, call: ast.Call, name: str) -> None:
    known = PARAMETRIZATION_ARGUMENTS[name]
    if len(call.args) > len(known):
        message = f"`{name}` takes at most {len(known)} argument{'' if len(known) == 1 else 's'}"
        raise refuse("too-many-arguments", message, expression.span(call.args[len(known)]))
    seen = set(known[: len(call.args)])
    for keyword in call.keywords:
        word = str(keyword.arg)
        place = expression.span(keyword).part(0, len(word))
        if word not in known:
            near = did_you_mean(word, known)
            raise refuse(
                "unknown-argument",
                f"`{name}` has no argument `{word}`",
                place,
                notes=() if near else (f"arguments: {', '.join(known)}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        if word in seen:
            raise refuse("duplicate-argument", f"`{word}` is given twice", place)
        seen.add(word)


def check_arguments(rule: ParametrizeRule, names: Set[str], scope: Scope) -> list[Diagnostic]:
    """Return what is wrong with the names in the arguments of a parametrisation."""
    call = rule.value.tree
    given = [*call.args, *(k.value for k in call.keywords)] if isinstance(call, ast.Call) else []
    return [problem for each in given for problem in check_names(rule.value.part(each), names, scope)]
