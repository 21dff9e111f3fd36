"""The constructor of one class."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from compiler.emit.classes.arguments import constructor_arguments
from compiler.emit.classes.computed import ComputedValues
from compiler.emit.classes.layers import Made
from compiler.emit.classes.spec_variables import SpecVariables
from compiler.emit.classes.super_call import is_bare_super, super_init
from compiler.emit.classes.values import ClassValues
from compiler.emit.syntax import RESET, call, function, own
from compiler.emit.trees import names_in
from compiler.program import ModuleBody


class ConstructorEmitter:
    """Emits the constructor of one class."""

    def __init__(self, values: ClassValues, computed: ComputedValues, variables: SpecVariables) -> None:
        self.values, self.computed, self.variables = values, computed, variables

    def emit(
        self, made: Made, rules: Sequence[ast.stmt], resets: bool, last: Sequence[ast.stmt]
    ) -> ast.FunctionDef | None:
        """Return the constructor, None if it would do what the class inherits.

        `resets` says whether it gives first values; `last` is what comes behind that.
        """
        body = self._body([*made.statements, *rules], made.reads, made.start)
        body += [ast.Expr(call(own(RESET)))] if resets else []
        body += last
        self.variables.note(body)
        constructor = function("__init__", constructor_arguments(self.values), body, ast.Constant(None))
        return constructor if _does_something(constructor) else None

    def _body(self, made: Sequence[ast.stmt], reads: Collection[str], start: int) -> list[ast.stmt]:
        by_stored = self.computed.read_by_stored()
        variables = self.computed.statements(names_in(*made) | by_stored)
        stored = self.computed.stored({*reads, *by_stored})
        if start:
            return [*variables, *made[:start], *stored, *made[start:]]
        if isinstance(self.values.definition.body, ModuleBody):
            return [super_init(), *variables, *stored, *made]
        if is_bare_super(made[0]):
            return [made[0], *variables, *stored, *made[1:]]
        return [*variables, *made, *stored]  # a list of layers is given them as it begins


def _does_something(constructor: ast.FunctionDef) -> bool:
    """Say whether a constructor does more than the one that a class inherits."""
    arguments = [*constructor.args.args[1:], *constructor.args.kwonlyargs]
    return bool(arguments) or len(constructor.body) > 1 or not is_bare_super(constructor.body[0])
