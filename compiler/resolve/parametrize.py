"""The rules of `parametrize`: a selector, and a call of a parametrisation of torch or of a plugin."""

from __future__ import annotations

import ast
from collections.abc import Set

from compiler.catalogue.parametrization_table import PARAMETRIZATIONS, ParametrizationType
from compiler.program import Scope
from compiler.resolve.values import check_names
from compiler.rule_records import ParametrizeRule
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Expression, parse_expression
from spec_schema.reader import Node, Scalar
from spec_schema.selectors import read_selector
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import unknown_argument


def parametrize_rule(key: Scalar, value: Node, scope: Scope) -> ParametrizeRule:
    """Read `selector: spectral_norm(n_power_iterations=2)`.

    Raises:
        SpecError: there is no such parametrisation, or it takes other arguments.
    """
    assert isinstance(value, Scalar)
    expression = parse_expression(value)
    tree = expression.tree
    function = tree.func if isinstance(tree, ast.Call) else tree
    known = {**PARAMETRIZATIONS, **scope.plugins.parametrizations}
    if not isinstance(function, ast.Name) or function.id not in known:
        raise _unknown(expression, function, tuple(known))
    kind = known[function.id]
    _check_call(expression, tree if isinstance(tree, ast.Call) else ast.Call(function, [], []), kind)
    return ParametrizeRule(read_selector(key), expression, key.span, kind)


def _unknown(expression: Expression, function: ast.AST, known: tuple[str, ...]) -> Exception:
    text = ast.unparse(function)
    near = did_you_mean(text.rpartition(".")[2], known)
    return refuse(
        "unknown-parametrization",
        f"there is no parametrisation `{text}`",
        expression.span(function),
        notes=() if near else (f"parametrisations: {', '.join(known)}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def _check_call(expression: Expression, call: ast.Call, kind: ParametrizationType) -> None:
    name, known = kind.name, [each.name for each in kind.arguments]
    places = [each.name for each in kind.positional]
    if len(call.args) > len(places):
        without = "" if len(places) == len(known) else " without a name"
        message = f"`{name}` takes at most {len(places)} argument{'' if len(places) == 1 else 's'}{without}"
        raise refuse("too-many-arguments", message, expression.span(call.args[len(places)]))
    seen = set(places[: len(call.args)])
    for keyword in call.keywords:
        word = str(keyword.arg)
        place = expression.span(keyword).part(0, len(word))
        if word not in known:
            raise SpecError([unknown_argument(f"`{name}`", word, known, place)])
        if word in seen:
            raise refuse("duplicate-argument", f"`{word}` is given twice", place)
        seen.add(word)
    missing = [each for each in kind.required if each not in seen]
    if missing:
        help = f"write `{name}({', '.join(f'{each}=...' for each in missing)})`"
        message = f"`{name}` needs {' and '.join(f'`{each}`' for each in missing)}"
        raise refuse("missing-argument", message, expression.place, help=help)


def check_arguments(rule: ParametrizeRule, names: Set[str], scope: Scope) -> list[Diagnostic]:
    """Return what is wrong with the names in the arguments of a parametrisation."""
    call = rule.value.tree
    given = [*call.args, *(k.value for k in call.keywords)] if isinstance(call, ast.Call) else []
    return [problem for each in given for problem in check_names(rule.value.part(each), names, scope)]
