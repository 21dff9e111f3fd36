"""What a constructor computes: the variables of the block, in the model those of the spec, and what methods read."""

from __future__ import annotations

import ast
from collections.abc import Collection

from compiler.emit.classes.values import ClassValues
from compiler.emit.scope import ConstructorScope
from compiler.emit.syntax import assign, load_name, own
from compiler.emit.trees import names_in


class ComputedValues:
    """Writes the computed values of one class, in the names of its constructor."""

    def __init__(self, values: ClassValues, scope: ConstructorScope) -> None:
        self.values = values
        self.scope = scope

    def statements(self, read: Collection[str]) -> list[ast.stmt]:
        """Return the statements for the variables that the constructor reads, or that these read."""
        statements: list[ast.stmt] = []
        needed = set(read)
        for name in reversed(list(self.values.computed)):
            local = self.values.local(name)
            if name in self.values.plain and local in needed:
                needed |= self._read_by(name)
                statements.insert(0, assign(local, self._value(name, local)))
        return statements

    def _value(self, name: str, local: str) -> ast.expr:
        """Return the value of a variable; a preset may give it another one."""
        value = self._expression(name)
        if self.values.is_root and name in self.values.runs.settable:
            missing = ast.Compare(load_name(local), [ast.Is()], [ast.Constant(None)])
            return ast.IfExp(missing, value, load_name(local))
        return value

    def _expression(self, name: str) -> ast.expr:
        """Return the expression of a variable, with the values of what its block hides of the file.

        In the constructor such a name is one variable: Python would look for its value before it has one.
        """
        with self.scope.fixed(self.values.hidden.get(name, {})):
            return self.scope.expression(self.values.computed[name])

    def read_by_stored(self) -> set[str]:
        """Return the names that the expressions of the stored values read."""
        return {read for name in self.values.stored for read in self._read_by(name)}

    def _read_by(self, name: str) -> set[str]:
        """Return the names that the expression of a variable reads; none for an argument."""
        return names_in(self._expression(name)) if name in self.values.computed else set()

    def stored(self, read: Collection[str]) -> list[ast.stmt]:
        """Return the statements that store what methods read; `read` is what the constructor reads itself."""
        return [
            assign(own(attribute), self._stored(name, read)) for name, attribute in self.values.stored.items()
        ]

    def _stored(self, name: str, read: Collection[str]) -> ast.expr:
        if name in self.values.computed and self.values.local(name) not in read:
            return self._expression(name)
        return load_name(self.values.local(name))
