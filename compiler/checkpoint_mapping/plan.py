"""The load plan: what becomes of every tensor of a checkpoint, and where every tensor of the model comes from.

It is made of names, shapes and dtypes alone. Each tensor of a file goes into the model, is skipped by name, or is an
error; each tensor of the model that a `checkpoint` rule decides comes out of the file, or is an error.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from compiler.checkpoint_mapping.problems import differing_dtype, differing_shape, missing, unused
from compiler.checkpoint_mapping.recipes import Recipe, names_in
from compiler.checkpoint_mapping.rewriting import Header, Rewriting, replaced_names
from compiler.rules.checkpoint_call import Surgery
from compiler.rules.initialisation import computes_with_checkpoint
from compiler.rules.plan import Plan, PlanRow
from spec_schema.diagnostics import Diagnostic, SpecError


@dataclass(frozen=True, eq=False)
class Use:
    """A tensor of the model whose initialiser calls `checkpoint`.

    `scope` is the path of the block that holds the rule, with a dot behind it: names are relative to it, as
    selectors are.
    """

    row: PlanRow
    surgery: Surgery
    scope: str

    @property
    def rule(self) -> tuple[str, str]:
        """The same for what one rule reads into one block."""
        return self.surgery.key, self.scope


@dataclass(frozen=True, eq=False)
class Load:
    """How one tensor of the model is made of a file's, by each of its names that the file has."""

    row: PlanRow
    recipes: Mapping[str, Recipe]
    shape: tuple[int, ...]
    """The row's own, but where the rule computes with what it reads."""


@dataclass(frozen=True, eq=False)
class RuleLoads:
    """What one `checkpoint(...)` does."""

    surgery: Surgery
    scope: str
    headers: Mapping[str, Header]
    loads: Mapping[str, Load]
    """By the canonical name of the tensor of the model."""
    skipped: Mapping[str, str]
    """The selector that skips a tensor, by its name in the file."""
    back: Mapping[str, Recipe]
    """How each tensor of the file that is taken whole is made of the model's, by its name in the file."""


@dataclass(frozen=True, eq=False)
class LoadPlan:
    """What is loaded into a model, by which rule."""

    rules: tuple[RuleLoads, ...]

    def of(self, surgery: Surgery, row: PlanRow) -> Load:
        """Return how a tensor of the model is loaded by a call."""
        rules = (rule for rule in self.rules if rule.surgery.key == surgery.key)
        return next(rule.loads[row.name] for rule in rules if row.name in rule.loads)


Headers = Mapping[str, Mapping[str, Header]]
"""The tensors of each checkpoint, by the path that the spec gives and by their names."""


def plan_loads(plan: Plan, uses: Sequence[Use], headers: Headers) -> LoadPlan:
    """Return what the `checkpoint` rules of a model do, given what is in the files.

    Raises:
        SpecError: with everything that does not fit.
    """
    by_rule: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        by_rule.setdefault(use.rule, []).append(use)
    rules = [_Rule.of(plan, found, headers[found[0].surgery.path]) for found in by_rule.values()]
    problems = [problem for rule in rules for problem in rule.problems()]
    by_file: dict[str, list[_Rule]] = {}
    for rule in rules:
        by_file.setdefault(posixpath.normpath(rule.surgery.path), []).append(rule)
    for found_rules in by_file.values():
        if all(rule.rewriting.names_are_known for rule in found_rules):
            problems += _accounted(plan, found_rules)
    if problems:
        raise SpecError(problems)
    return LoadPlan(tuple(rule.loads() for rule in rules))


@dataclass(eq=False)
class _Rule:
    """One rule, matched with what is in its file."""

    plan: Plan
    scope: str
    rows: Mapping[str, PlanRow]
    rewriting: Rewriting
    found: dict[str, dict[str, Recipe]] = field(default_factory=dict)
    """By the canonical name of a tensor of the model: recipes by the names of it that the file has."""

    @property
    def surgery(self) -> Surgery:
        return self.rewriting.surgery

    @classmethod
    def of(cls, plan: Plan, uses: Sequence[Use], headers: Mapping[str, Header]) -> _Rule:
        scope = uses[0].scope

        def shape(name: str) -> tuple[int, ...] | None:
            return plan.by_name[scope + name].shape if scope + name in plan.by_name else None

        rewriting = Rewriting(uses[0].surgery, headers, shape).run()
        rule = cls(plan, scope, {use.row.name: use.row for use in uses}, rewriting)
        for name, recipe in rewriting.recipes.items():
            row = plan.by_name.get(scope + name)
            if row is not None and row.name in rule.rows:
                rule.found.setdefault(row.name, {})[name] = recipe
        return rule

    def problems(self) -> list[Diagnostic]:
        """Return what is wrong with the rule itself."""
        problems = list(self.rewriting.problems)
        lacking = [row for name, row in self.rows.items() if name not in self.found]
        if lacking and self.rewriting.names_are_known:
            problems.append(missing(lacking, len(self.rows), self.rewriting, self.loose(), self.scope))
        shapes: dict[str, list[tuple[PlanRow, str]]] = {}
        dtypes: dict[str, list[tuple[PlanRow, str]]] = {}
        for row, name in ((self.rows[at], name) for at, names in self.found.items() for name in names):
            if self.rewriting.shape(name) != torch.Size(self._expected(row)):
                shapes.setdefault(alike(row.name), []).append((row, name))
            elif any(_kind(self._dtype(source)) != _kind(row.dtype) for source in self._sources(name)):
                dtypes.setdefault(alike(row.name), []).append((row, name))
        problems += [differing_shape(group, self.rewriting) for group in shapes.values()]
        return problems + [differing_dtype(group, self.rewriting) for group in dtypes.values()]

    def _expected(self, row: PlanRow) -> tuple[int, ...]:
        """Return the shape that a tensor of the model has in the file, under each of its names."""
        computes = row.initialisation is not None and computes_with_checkpoint(row.initialisation.expression)
        return tuple(self.rewriting.shape(next(iter(self.found[row.name])))) if computes else row.shape

    def _dtype(self, source: str) -> torch.dtype:
        return self.rewriting.headers[source].dtype

    def _sources(self, name: str) -> Iterable[str]:
        return names_in(self.rewriting.recipes[name])

    def loose(self) -> list[str]:
        """Return the new names that are none of a tensor that this rule decides."""
        placed = {name for names in self.found.values() for name in names}
        return [name for name in self.rewriting.recipes if name not in placed]

    def parts(self) -> dict[str, list[Recipe]]:
        """Return what each tensor of the file becomes."""
        found: dict[str, list[Recipe]] = {}
        for recipe in self.rewriting.recipes.values():
            for source in names_in(recipe):
                found.setdefault(source, []).append(recipe)
        return found

    def loads(self) -> RuleLoads:
        canonical = {name: row for row, names in self.found.items() for name in names}
        back = {}
        for source in self.rewriting.renamed:
            recipe = self.rewriting.back(source)
            if all(name in canonical for name in names_in(recipe)):
                back[source] = replaced_names(recipe, canonical)
        loads = {name: Load(row, self.found[name], self._expected(row)) for name, row in self.rows.items()}
        return RuleLoads(
            self.surgery, self.scope, self.rewriting.headers, loads, self.rewriting.skipped, back
        )


def _accounted(plan: Plan, rules: Sequence[_Rule]) -> list[Diagnostic]:
    """Return what no rule of a file takes, or skips by name."""
    used = {recipe for rule in rules for names in rule.found.values() for recipe in names.values()}
    done = {source for rule in rules for source in rule.rewriting.skipped}
    for rule in rules:
        done |= {source for source, parts in rule.parts().items() if used.issuperset(parts)}
    left = [name for name in rules[-1].rewriting.headers if name not in done]
    return [unused(left, rules[-1].rewriting, plan, rules[-1].scope)] if left else []


def _kind(dtype: torch.dtype) -> str:
    """Return what kind of numbers a dtype has: values are converted within a kind, and not beyond it."""
    if dtype.is_complex or dtype.is_floating_point:
        return "complex" if dtype.is_complex else "floating"
    return "bool" if dtype is torch.bool else "integer"


def alike(name: str) -> str:
    """Return a name with `*` for its numbers: the same for what repeated blocks have."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
