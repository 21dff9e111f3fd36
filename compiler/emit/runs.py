"""The runs that a file is emitted from: one model, inferred at several values of its variables.

What is emitted for all of them at once holds whatever the variables are: a size is written over an argument only if
it follows that argument through all runs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from compiler.emit.annotations import annotation_of
from compiler.emit.choose import Case
from compiler.emit.literals import literal
from compiler.infer.call_kinds import CallOf, of_either
from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState
from compiler.infer.values import form_of
from compiler.placement.groups import ClassGroup, group_key, instances
from compiler.program import Definition, Scope
from compiler.resolve.values import free_names
from compiler.rules.plan import Plan
from spec_schema.grammar import Expression


class UnliftableError(Exception):
    """The source would not be that of the model at other values of the variables."""


@dataclass(frozen=True, eq=False)
class Run:
    """A model at some values of its variables. `scale` tells runs apart in which all numbers differ."""

    inferred: Inferred
    plan: Plan
    scale: int = 0


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of one model. `variables` are those that become arguments of its constructor."""

    all: Sequence[Run]
    variables: Collection[str] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The values that each preset gives to them."""

    @property
    def scope(self) -> Scope:
        """The file whose variables become arguments."""
        return self.all[0].inferred.program.scope

    @cached_property
    def computed(self) -> list[str]:
        """The variables that are computed from those that become arguments."""
        found: list[str] = []
        for name, tree in self.scope.variable_trees.items():
            if free_names(tree) & {*self.variables, *found}:
                found.append(name)
        return found

    @cached_property
    def settable(self) -> set[str]:
        """The computed variables to which a preset gives a value of its own."""
        return {name for values in self.presets.values() for name in values} - set(self.variables)

    @cached_property
    def _scales(self) -> dict[BlockState, tuple[int, int]]:
        return {
            state: (run.scale, number)
            for number, run in enumerate(self.all)
            for state in instances(run.inferred.root)
        }

    @cached_property
    def call_kinds(self) -> Mapping[int, CallOf]:
        """What each call of a program is one of, whichever run reached it.

        Raises:
            UnliftableError: it is one thing in one run, and another in another.
        """
        found: dict[int, CallOf] = {}
        for node, kind in (pair for run in self.all for pair in run.inferred.call_kinds.items()):
            either = of_either(found.get(node, kind), kind)
            if either is None:
                raise UnliftableError("a call is one of another kind")
            found[node] = either
        return found

    @cached_property
    def plain_values(self) -> frozenset[int]:
        """The computed buffers whose values are numbers, whichever run reached them."""
        return frozenset().union(*(run.inferred.plain_values for run in self.all))

    def variable_in(self, state: BlockState, name: str) -> object:
        """Return the value of a variable in the run that an instance is of."""
        return self.all[self._scales[state][1]].inferred.program.variables[name]

    def visible(self, definition: Definition) -> list[str]:
        """Return the lifted variables that the expressions of a block see."""
        if definition.scope is not self.scope:
            return []
        own = {*(each.name for each in definition.parameters), *definition.variables}
        lifted = {*self.variables, *self.computed}
        return [name for name in self.scope.variable_trees if name in lifted and name not in own]

    def check_rules(self, key: Callable[[Plan], Hashable]) -> None:
        """Refuse runs that are of models with other classes, or that rules tie or freeze otherwise.

        `key` tells what rules tie and freeze.

        Raises:
            UnliftableError: they are.
        """
        roots = {group_key(run.inferred.root) for run in self.all}
        if len(roots) > 1 or len({key(run.plan) for run in self.all}) > 1:
            raise UnliftableError("rules tie or freeze other parts")

    def check_root(self, root: ClassGroup) -> None:
        """Refuse sizes that no expression over the variables gives.

        Raises:
            UnliftableError: there is one.
        """
        if root.extras:
            raise UnliftableError(f"nothing tells {', '.join(root.extras)}")

    def parameter(self, name: str, is_root: bool) -> tuple[ast.expr | None, ast.expr]:
        """Return the annotation of a variable as an argument, and its default in the root class."""
        values = [fixed(run.inferred.program.variables[name]) for run in self.all]
        if is_root and name in self.settable:
            return annotation_of([*values, None], any_list=True), ast.Constant(None)
        return annotation_of(values, any_list=True), literal(values[0])

    def check_literal(self, expression: Expression, definition: Definition) -> None:
        """Refuse an expression that stands where no argument of a constructor can be read.

        Raises:
            UnliftableError: it reads one.
        """
        if free_names(expression) & set(self.visible(definition)):
            raise UnliftableError(f"`{expression}` is computed where there are no arguments")

    def check_few(self, names: Collection[str]) -> None:
        """Refuse tensors that a statement names one by one, which other runs have more or less of.

        Raises:
            UnliftableError: there are any.
        """
        if self.variables and names:
            raise UnliftableError("first values are given to single tensors, by name")

    def check_unbound(self, names: Iterable[str], definition: Definition) -> None:
        """Refuse names of a loop that are those of arguments, which the loop would change.

        Raises:
            UnliftableError: one is.
        """
        if set(names) & set(self.visible(definition)):
            raise UnliftableError("a loop binds the name of a variable")

    def confirm(self, cases: Iterable[Case]) -> None:
        """Refuse values that were not seen at other values of all numbers.

        Raises:
            UnliftableError: they were seen at one value of each number alone.
        """
        if self.variables and len({self._scales[case.state][0] for case in cases}) < 2:
            raise UnliftableError("seen at one size alone")

    def check_one_sided(self, names: Collection[str], cases: Iterable[Case]) -> None:
        """Refuse to leave out the other way of a condition over these names.

        Raises:
            UnliftableError: the names have other values in other runs, so that the condition may come out otherwise.
        """
        if not self.variables:
            return
        seen: dict[int, set[object]] = {}
        for case in cases:
            values = tuple(form_of(case.values.get(name)) for name in sorted(names))
            seen.setdefault(self._scales[case.state][1], set()).add(values)
        if len(set(map(frozenset, seen.values()))) > 1:
            raise UnliftableError(f"a condition over {', '.join(sorted(names))} goes one way in all runs")


def fixed(value: Any) -> Any:
    """Return a value that cannot be changed, as the default of an argument is to be: lists become tuples."""
    return tuple(map(fixed, value)) if isinstance(value, list) else value
