"""Parametrised layers, as the statements that end the constructor of the model: their weights have values by then."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import groupby

from compiler.catalogue.parametrization_table import PATH, REGISTER
from compiler.emit.file import EmittedFile
from compiler.emit.literals import literal
from compiler.emit.rules import MANY, is_typed, path, reached
from compiler.emit.syntax import call, load_name, own
from compiler.infer.states import BlockState
from compiler.rules.parametrize import WEIGHT
from compiler.rules.plan import Parametrized
from spec_schema.selectors import path_of


def parametrize_statements(file: EmittedFile, root: BlockState) -> list[ast.stmt]:
    """Return the statements; more layers than a few that are parametrised alike are gone over in a loop."""
    statements: list[ast.stmt] = []
    for _, alike in groupby(file.plan.parametrized, key=lambda each: (each.by.key, each.plain.trainable)):
        statements += _alike(file, root, list(alike))
    return statements


def _alike(file: EmittedFile, root: BlockState, found: Sequence[Parametrized]) -> list[ast.stmt]:
    layers = [each.plain.steps[:-1] for each in found]
    if len(found) <= MANY:
        pairs = zip(found, layers, strict=True)
        return [
            _statement(file, each, reached(root, steps, "get_submodule", as_module=True))
            for each, steps in pairs
        ]
    target = ast.Name("layer", ast.Store())
    if not all(is_typed(root, steps, as_module=True) for steps in layers):
        names = ast.Tuple([ast.Constant(path_of(steps)) for steps in layers], ast.Load())
        target.id = "name"
        body = _statement(file, found[0], call(own("get_submodule"), load_name("name")))
        return [ast.For(target, names, [body], [])]
    parts = ast.Tuple([path(root, steps) for steps in layers], ast.Load())
    return [ast.For(target, parts, [_statement(file, found[0], load_name("layer"))], [])]


def _statement(file: EmittedFile, found: Parametrized, layer: ast.expr) -> ast.stmt:
    by = found.by
    if by.type.cls is not None:
        return ast.Expr(call(_function(REGISTER), layer, ast.Constant(by.name), _made(file, found, layer)))
    name = {} if by.name == WEIGHT else {"name": ast.Constant(by.name)}
    return ast.Expr(call(_function(f"{PATH}.{by.type.name}"), layer, **name, **_arguments(found)))


def _made(file: EmittedFile, found: Parametrized, layer: ast.expr) -> ast.expr:
    """Return the expression of an instance of the class of a plugin: frozen, as its parameter is."""
    by = found.by
    weight = call(ast.Attribute(layer, "get_parameter", ast.Load()), ast.Constant(by.name))
    first = (weight,) if by.type.takes_weight else ()
    made = call(file.parametrization(by.type), *first, **_arguments(found))
    if found.plain.trainable or not any(each.is_own and each.kind == "parameter" for each in by.stored):
        return made
    return call(ast.Attribute(made, "requires_grad_", ast.Load()), ast.Constant(False))


def _function(full: str) -> str:
    return full.replace("torch.nn", "nn", 1)


def _arguments(found: Parametrized) -> dict[str, ast.expr]:
    return {key: literal(value) for key, value in found.by.arguments.items()}
