"""Calls of blocks that are one call: `Norm` for `BatchNorm2d(eps=1e-3)`, written as the layer that is made."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from compiler.emit.expressions import Translator
from compiler.emit.scope import ConstructorScope
from compiler.infer.values import holds_recipe
from compiler.program import Call, Definition
from compiler.resolve.calls import stands_for
from compiler.resolve.values import free_names, is_type
from spec_schema.evaluate import FUNCTIONS
from spec_schema.grammar import Expression

Values = Mapping[str, object]


@dataclass(frozen=True)
class StandIn:
    """The call to write in the place of another, and the expressions that its arguments are written over."""

    call: Call
    renamed: Mapping[str, ast.expr] = field(default_factory=dict)


def stand_in(call: Call, scope: ConstructorScope, values: Values) -> StandIn:
    """Return the call that is meant by one.

    Where its arguments cannot be written over those of the call, it is one whose arguments are known by their values.
    """
    found = StandIn(call)
    while (inner := stands_for(found.call)) is not None:
        renamed = _given(found, inner, scope, values)
        if renamed is None:
            return StandIn(replace(call, kind="recipe", arguments=()))
        found = StandIn(inner, renamed)
    return found


def _given(
    outer: StandIn, inner: Call, scope: ConstructorScope, values: Values
) -> dict[str, ast.expr] | None:
    """Return what the parameters of a block are written as for the call in it, None where that needs more."""
    definition = outer.call.scope.blocks[outer.call.target]
    names = [parameter.name for parameter in definition.parameters]
    found: dict[str, ast.expr] = {}
    for at, argument in enumerate(outer.call.arguments):
        free = free_names(argument.value)
        if any(holds_recipe(values.get(each)) or is_type(each, outer.call.scope) for each in free):
            return None
        with scope.renaming(outer.renamed):
            found[argument.name or names[at]] = scope.expression(argument.value)
    for parameter in definition.parameters:
        if parameter.name not in found and not _is_plain(parameter.default):
            return None
        if parameter.name not in found:
            assert parameter.default is not None
            found[parameter.name] = Translator(scope.file.names, {}, {}).translate(parameter.default.tree)
    return found if _reads_no_more(inner, definition, scope) else None


def _is_plain(default: Expression | None) -> bool:
    return default is not None and not free_names(default)


def _reads_no_more(call: Call, definition: Definition, scope: ConstructorScope) -> bool:
    """Return whether the arguments of a call read nothing but the parameters of its block, and numbers of torch."""
    free = {name for argument in call.arguments for name in free_names(argument.value)}
    known = {*FUNCTIONS, *(parameter.name for parameter in definition.parameters)}
    if definition.scope is scope.group.definition.scope:
        known |= {*definition.scope.variables} - _own(scope)
    return free <= known


def _own(scope: ConstructorScope) -> set[str]:
    """Return the names of a class that hide variables of the file."""
    definition, loops = scope.group.definition, scope.chooser.loops
    own = {parameter.name for parameter in definition.parameters} | set(definition.variables)
    return own.union(*(loop.node.bound for loop in loops))
