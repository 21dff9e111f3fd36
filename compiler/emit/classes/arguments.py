"""The arguments of a constructor, with annotations and defaults: of the block, and for the variables of the spec."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from compiler.emit.annotations import annotation_of
from compiler.emit.classes.values import ClassValues
from compiler.emit.expressions import Translator
from compiler.emit.literals import literal
from compiler.emit.syntax import parameters
from compiler.resolve.values import free_names, is_type

Row = tuple[str, ast.expr | None, ast.expr | None]
"""The name of an argument, its annotation and its default."""


def constructor_arguments(values: ClassValues) -> ast.arguments:
    """Return the arguments. The variables of the spec have defaults in the class of the model alone."""
    only = {name: _annotated(values, list(of.values())) for name, of in values.group.extras.items()}
    variables = _of_the_spec(values)
    if values.is_root:
        return parameters([*_of_the_block(values), *variables], only)
    return parameters(_of_the_block(values), only | {name: note for name, note, _ in variables})


def _of_the_spec(values: ClassValues) -> list[Row]:
    """Return an argument for each variable of the spec that the class needs."""
    given = values.group.variables.items()
    return [(local, *values.runs.parameter(name, values.is_root)) for name, local in given]


def _of_the_block(values: ClassValues) -> list[Row]:
    """Return an argument for each parameter of the block that is no layer."""
    return [_parameter(values, name) for name in values.parameters]


def _parameter(values: ClassValues, name: str) -> Row:
    default = _default(values, name)
    missing = [None] if isinstance(default, ast.Constant) and default.value is None else []
    note = _annotated(values, [*(state.values[name] for state in values.states), *missing])
    return values.local(name), note, default


def _annotated(values: ClassValues, seen: Sequence[object]) -> ast.expr | None:
    return annotation_of(seen, any_list=bool(values.runs.variables))


def _default(values: ClassValues, name: str) -> ast.expr | None:
    scope = values.definition.scope
    default = next(each.default for each in values.definition.parameters if each.name == name)
    if default is None:
        return None
    values.runs.check_literal(default, values.definition)
    if any(is_type(each, scope) or each in scope.recipes for each in free_names(default)):
        return literal(values.states[0].values[name])  # who leaves it out is of another class
    return Translator(values.names, scope.variables, {}).translate(default.tree)
