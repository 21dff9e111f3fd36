"""Lift the variables of a spec into the constructors: which of them become arguments of the emitted classes.

A variable is lifted if the source that is emitted with it is that of the model at other values of it too. So the
program is inferred again, with all numbers changed at once; what does not come out as one source stays a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from compiler.emit.file import EmittedFile
from compiler.emit.module import emit_file
from compiler.emit.other_values import SCHEMES, OtherValues, Scheme, other_value
from compiler.emit.passes.table import LAST
from compiler.emit.runs import Run, Runs, UnliftableError
from compiler.infer.infer import Inferred, infer_again
from compiler.placement.transfers import Transfers
from compiler.program import ResolvedProgram
from compiler.resolve.program import value_of, with_variables
from compiler.resolve.values import free_names, read_value
from compiler.rules.apply import apply_rules
from compiler.rules.plan import Plan
from spec_schema.diagnostics import SpecError
from spec_schema.reader import Entries


@dataclass(eq=False)
class Lifter:
    """Emits one model over its variables."""

    inferred: Inferred
    plan: Plan
    moves: Transfers
    until: str = LAST
    """The last pass to run."""
    runs: dict[Hashable, Run] = field(default_factory=dict)

    @property
    def program(self) -> ResolvedProgram:
        return self.inferred.program

    @cached_property
    def values(self) -> OtherValues:
        return OtherValues(self.program)

    def _parted(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the variables that are numbers, or lists of them, and the switches."""
        switches = [name for name in names if isinstance(self.program.variables[name], bool)]
        return [name for name in names if name not in switches], switches

    def emit(self) -> ast.Module:
        """Return the tree of the file."""
        names = [] if self.moves.slots else self._candidates()
        try:
            return self.attempt(names)
        except (UnliftableError, SpecError):
            return self.attempt(self._largest(names))

    def _candidates(self) -> list[str]:
        """Return the variables that are written as numbers, or lists of them, and not computed.

        Those that decide which rules there are stay as they are: the rules were decided with them. So do those that
        a block hides and reads, which its constructor has no name for.
        """
        trees, dependence = self.program.scope.variable_trees, self.values.dependence
        stay = dependence.deciding | dependence.hidden
        fixed = [name for name, tree in trees.items() if not free_names(tree) and name not in stay]
        return [name for name in fixed if other_value(self.program.variables[name], 2) is not None]

    def _largest(self, names: Sequence[str]) -> list[str]:
        """Return variables that can be lifted together, tried one after the other."""
        lifted: list[str] = []
        numbers, switches = self._parted(names)
        for name in [*numbers, *switches]:
            if self._works([*lifted, name]):
                lifted.append(name)
        return lifted

    def _works(self, names: Sequence[str]) -> bool:
        try:
            self.attempt(names)
        except (UnliftableError, SpecError):
            return False
        return True

    def attempt(self, names: Sequence[str]) -> ast.Module:
        """Return the file with these variables as arguments.

        Raises:
            SpecError: the model cannot be inferred at other values of them, or not be written.
            UnliftableError: it is another one there.
        """
        runs = [Run(self.inferred, self.plan.plain), *self._others(names), *self._shorter(names)]
        computed = Runs(runs, names).computed
        presets = (
            {name: v for name, v in self.presets.items() if set(v) <= {*names, *computed}} if names else {}
        )
        runs += [self.runs[name] for name in presets]
        return emit_file(EmittedFile(Runs(runs, names, presets), self.moves), self.until)

    @cached_property
    def presets(self) -> dict[str, dict[str, Any]]:
        """The values that the presets of the spec give to its variables: of those that the model runs with."""
        document = self.program.document
        tables = document.table("presets") if document.has("presets") else {}
        recipes = self.program.scope.recipes.keys()
        written = {name: t for name, t in tables.items() if isinstance(t, Entries) and not recipes & t.keys()}
        found = {name: self._preset(table) for name, table in written.items()}
        return {name: values for name, values in found.items() if self._runs_at(name, values)}

    def _preset(self, table: Entries) -> dict[str, Any]:
        variables = self.program.variables
        return {name: value_of(read_value(node), variables) for name, node in table.items()}

    def _runs_at(self, key: Hashable, values: Mapping[str, Any]) -> bool:
        try:
            self._run_at(key, values, 2)
        except SpecError:
            return False
        return True

    def _shorter(self, names: Sequence[str]) -> list[Run]:
        """Return a run with one item less in each list, if the model runs with that."""
        lists = [name for name in names if isinstance(self.program.variables[name], list)]
        key = ("shorter", *lists)
        variables: Mapping[str, Any] = self.program.variables
        values = {name: variables[name][:-1] for name in lists}
        return [self.runs[key]] if lists and self._runs_at(key, values) else []

    def _others(self, names: Sequence[str]) -> list[Run]:
        """Return the runs beside the first, by the first scheme of other numbers that the model has a shape at."""
        for at, scheme in enumerate(SCHEMES):
            try:
                return [*self._with(names, scheme)]
            except SpecError:
                if at == len(SCHEMES) - 1:
                    raise
        raise AssertionError

    def _with(self, names: Sequence[str], scheme: Scheme) -> Iterator[Run]:
        """Yield the runs beside the first: with other numbers, and with each switch the other way."""
        numbers, switches = self._parted(names)
        if numbers:
            yield from self._further(numbers, scheme)
            yield self._run(numbers, {}, scheme)
        for switch in switches:
            flipped = {switch: not self.program.variables[switch]}
            yield self._run([], flipped, scheme)
            if numbers:
                yield self._run(numbers, flipped, scheme)

    def _further(self, numbers: Sequence[str], scheme: Scheme) -> Iterator[Run]:
        """Yield runs at more numbers, where something is computed by steps: those that the model runs at."""
        for at, values in enumerate(self.values.further(numbers, scheme)):
            key = ("further", at, *numbers), scheme
            if self._runs_at(key, values):
                yield self.runs[key]

    def _run(self, numbers: Sequence[str], flipped: Mapping[str, bool], scheme: Scheme) -> Run:
        key = (*numbers, *flipped), scheme
        return self._run_at(key, {**self.values.changed(numbers, scheme), **flipped}, int(bool(numbers)))

    def _run_at(self, key: Hashable, values: Mapping[str, Any], scale: int) -> Run:
        if key not in self.runs:
            other = with_variables(self.program, values)
            inferred = infer_again(other, self.inferred.limits, self.inferred.dtype)
            self.runs[key] = Run(inferred, apply_rules(inferred, inferred.limits).plain, scale)
        return self.runs[key]


def emit_lifted(inferred: Inferred, plan: Plan, moves: Transfers, until: str = LAST) -> ast.Module:
    """Return the tree of a file whose root class has the variables of the spec as arguments, after a pass."""
    return Lifter(inferred, plan, moves, until).emit()
