"""Parametrised layers, as the statements that end the constructor of the model: their weights have values by then."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import groupby

from compiler.catalogue.parametrization_table import PATH
from compiler.emit.literals import literal
from compiler.emit.rules import MANY, path
from compiler.emit.syntax import call, load_name, own
from compiler.infer.states import BlockState
from compiler.rules.parametrize import WEIGHT
from compiler.rules.plan import Parametrized, Plan
from spec_schema.selectors import Step, path_of


def parametrize_statements(root: BlockState, plan: Plan) -> list[ast.stmt]:
    """Return the statements; more layers than a few that are parametrised alike are gone over in a loop."""
    statements: list[ast.stmt] = []
    for _, alike in groupby(plan.parametrized, key=lambda each: each.by.key):
        statements += _alike(root, list(alike))
    return statements


def _alike(root: BlockState, found: Sequence[Parametrized]) -> list[ast.stmt]:
    layers = [each.plain.steps[:-1] for each in found]
    if len(found) <= MANY:
        return [_statement(each, _reached(root, steps)) for each, steps in zip(found, layers, strict=True)]
    target = ast.Name("layer", ast.Store())
    if any(map(_is_counted, layers)):
        names = ast.Tuple([ast.Constant(_dotted(steps)) for steps in layers], ast.Load())
        target.id = "name"
        body = _statement(found[0], call(own("get_submodule"), load_name("name")))
        return [ast.For(target, names, [body], [])]
    parts = ast.Tuple([path(root, steps) for steps in layers], ast.Load())
    return [ast.For(target, parts, [_statement(found[0], load_name("layer"))], [])]


def _statement(found: Parametrized, layer: ast.expr) -> ast.stmt:
    by = found.by
    name = {} if by.name == WEIGHT else {"name": ast.Constant(by.name)}
    arguments = {key: literal(value) for key, value in by.arguments.items()}
    function = PATH.replace("torch.nn", "nn", 1) + f".{by.function}"
    return ast.Expr(call(function, layer, **name, **arguments))


def _reached(root: BlockState, steps: Sequence[Step]) -> ast.expr:
    """Return the expression of a layer, by its name where an item of a list is on the way, which has no type."""
    if _is_counted(steps) and len(steps) > 1:
        return call(own("get_submodule"), ast.Constant(_dotted(steps)))
    return path(root, steps)


def _is_counted(steps: Sequence[Step]) -> bool:
    return any(step.name.isdigit() for step in steps)


def _dotted(steps: Sequence[Step]) -> str:
    return path_of(steps)
