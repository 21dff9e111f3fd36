"""The variables of the spec that one class needs: what it calls them, and which of them it is given as arguments."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from compiler.emit.choose import Chooser
from compiler.emit.classes.values import ClassValues
from compiler.emit.syntax import load_name
from compiler.emit.trees import names_in


class SpecVariables:
    """Notes the variables that a class is given, each with the name of the argument that brings it."""

    def __init__(self, values: ClassValues, chooser: Chooser) -> None:
        self.values = values
        self.chooser = chooser

    def given_on(self, name: str) -> ast.expr:
        """Return a variable of the spec, for a class that this one makes."""
        if name in self.values.lifted:
            return load_name(self.values.local(name))
        same = self._argument_like(name)
        if same is not None:
            return load_name(same)
        given = self.values.group.variables
        given[name] = given.get(name) or self.chooser.fresh(self.values.local(name))
        return load_name(given[name])

    def _argument_like(self, name: str) -> str | None:
        """Return an argument of the constructor that has the value of a variable of the spec in all runs."""
        states = self.values.states
        values = [self.values.runs.variable_in(state, name) for state in states]
        varied = any(value != values[0] for value in values)
        own = {self.values.local(t): [state.values[t] for state in states] for t in self.values.parameters}
        extras = self.values.group.extras.items()
        rows = {**own, **{local: [known.get(state) for state in states] for local, known in extras}}
        return next((local for local, row in rows.items() if varied and row == values), None)

    def note(self, body: Sequence[ast.stmt]) -> None:
        """Note the variables of the spec that the constructor reads: they are its arguments."""
        read = names_in(*body)
        given = self.values.group.variables
        for name in filter(self._may_be_given, self.values.lifted):
            if self.values.local(name) in read:
                given[name] = self.values.local(name)
        order = self.values.runs.scope.variable_trees
        self.values.group.variables = {name: given[name] for name in order if name in given}

    def _may_be_given(self, name: str) -> bool:
        """Return whether a variable is not computed, or a preset has a value of its own for it."""
        made = self.values.computed.keys() - self.values.definition.variables.keys()
        return name not in made or name in self.values.runs.settable
