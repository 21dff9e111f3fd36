"""Apply rules: from the table of a model to its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState, Leaf
from compiler.rule_records import InitRule, PlacementRule, Selecting, SelectorRule, ShareGroup
from compiler.rules.agreement import differing_names, disagreements, frozen_in_part
from compiler.rules.copied import Copying, Wish, copied_name, copies
from compiler.rules.defaults import default_rules
from compiler.rules.dry_run import check_default, check_initialisation
from compiler.rules.dtype import DtypeRules, dtype_decisions, dtype_problems, dtype_rules
from compiler.rules.frozen_state import statistics_in, updates_in_evaluation
from compiler.rules.initialisation import draws, reads_checkpoint
from compiler.rules.items import bind_all
from compiler.rules.layer_values import scope_names
from compiler.rules.padding import padding
from compiler.rules.parametrize import Parametrizer
from compiler.rules.placement import Sites, site_problems, sites
from compiler.rules.plan import Decision, Initialisation, Plan, PlanRow, Tie, meta
from compiler.rules.share import Group, resolve_shares
from compiler.rules.stored import parametrized_in, stored_rows
from compiler.rules.table import ModuleRow, RuleScope, Table, TensorRow, expand, root_scope
from compiler.rules.unused import unused_rule
from spec_schema.clock import check_time, stage
from spec_schema.diagnostics import Diagnostic, Label, SpecError
from spec_schema.grammar import Expression
from spec_schema.limits import Limits
from spec_schema.selectors import Selector, Step
from spec_schema.source import Span


@dataclass(frozen=True, eq=False)
class Candidate:
    """An init rule that matches a tensor, with the names in its scope. `default` marks the compiler's own."""

    value: Expression
    text: str
    place: Span
    names: Mapping[str, object]
    default: bool
    scope: tuple[Step, ...]
    """The path of the block that holds the rule."""
    selector: Selector | None = None


@dataclass(eq=False)
class RuleApplier:
    """Applies the rules of one model; problems are collected."""

    inferred: Inferred
    table: Table
    problems: list[Diagnostic] = field(default_factory=list)
    checked: set[Any] = field(default_factory=set)
    used: set[object] = field(default_factory=set)
    defaults: dict[Any, InitRule | None] = field(default_factory=dict)
    names: dict[Any, Mapping[str, object]] = field(default_factory=dict)
    """Of an init rule for one tensor of a layer: they are the same in all places where the layer is."""
    candidates: dict[Any, Candidate] = field(default_factory=dict)
    """The default rule for one tensor of a layer."""
    alone: dict[Candidate, tuple[Initialisation, tuple[Decision, ...]]] = field(default_factory=dict)
    """What is decided where a default rule is all that a tensor has."""
    forms: dict[int, tuple[tuple[int, ...], torch.dtype]] = field(default_factory=dict)
    """Of tensors, by their identity: one is that of all equal layers."""
    losers: dict[Expression, tuple[TensorRow, Candidate]] = field(default_factory=dict)
    """Init rules that a later one overrules, each with a tensor that it matches."""

    def __post_init__(self) -> None:
        self.copying = Copying(self.table, self.problems)

    def plan(self) -> Plan:
        """Return the plan, or raise what is wrong with the rules."""
        scopes = sorted(self.table.scopes, key=lambda scope: -len(scope.steps))
        bind_all(scopes, self.table, self.used)
        groups, ties = resolve_shares(self.table, scopes, self.problems, self.used)
        frozen, placed = self._frozen(scopes), self._placement(groups)
        dtypes = dtype_rules(self.inferred.root, self.table)
        self.problems.extend(dtype_problems(self.table, dtypes))
        root = root_scope(self.table, self.inferred.root)
        parametrized = Parametrizer(self.table, root, self.problems, self.used.add).find(groups)
        plain = self.copying.resolved([self._row(group, frozen, placed, dtypes) for group in groups])
        self._check_losers()
        self._report_unused(scopes)
        kept = self._frozen_statistics()
        if self.problems:
            raise SpecError(self.problems)
        rows = tuple(stored_rows(plain, parametrized))
        return Plan(rows, tuple(ties), kept, self.table, parametrized_in(rows))

    # One row.

    def _row(
        self, group: Group, frozen: Mapping[str, list[Decision]], placed: Sites, dtypes: DtypeRules
    ) -> PlanRow:
        owner = group.rows[0]
        check_time(owner.span)
        shape, dtype = self._form(owner)
        self.problems.extend(disagreements(group))
        initialisation, decisions = self._initialisation(group)
        rows_of_padding = padding(group, initialisation)
        shares = [Decision("share", rule.name, rule.span) for rule in group.rules]
        trainable = self._trainable(group, frozen)
        device, placements = placed[owner.name]
        others = [
            *rows_of_padding.values(),
            *frozen.get(owner.name, ()),
            *placements,
            *(dtype_decisions(owner, dtypes) if self.inferred.root.dtypes.rules else ()),
        ]
        return PlanRow(
            tuple(row.name for row in group.rows) if len(group.rows) > 1 else (owner.name,),
            owner.kind,
            shape,
            dtype,
            owner.persistent,
            trainable and owner.kind == "parameter",
            device,
            initialisation,
            owner.steps,
            owner,
            (*shares, *decisions, *others) if shares or others else decisions,
            tuple(rows_of_padding),
        )

    def _form(self, row: TensorRow) -> tuple[tuple[int, ...], torch.dtype]:
        key = id(row.tensor)
        if key not in self.forms:
            self.forms[key] = meta(row.tensor)
        return self.forms[key]

    # Initialisation.

    def _initialisation(self, group: Group) -> tuple[Initialisation | None, tuple[Decision, ...]]:
        owner = group.rows[0]
        if owner.entry is not None and owner.is_computed:
            return None, (Decision("value", str(owner.entry.name), owner.entry.span),)
        by_row = [(row, self._candidates(row)) for row in group.rows]
        if len(by_row) > 1:  # names of one tensor, of which one decides
            by_row = [(row, list(map(replace, found))) for row, found in by_row]
        first = by_row[0][1]
        if len(first) == 1 and first[0] in self.alone:
            return self.alone[first[0]]
        winners = [(row, found[-1]) for row, found in by_row if found]
        written = [(row, candidate) for row, candidate in winners if not candidate.default]
        own = isinstance(owner.owner, Leaf) and not by_row[0][1]  # no rule, and a constructor that makes it
        if not winners or (own and not written):
            self._missing(owner)
            return None, ()
        row, winner = (written or winners)[0]
        self._conflicts(written)
        self._check(row, winner)
        self._wish(owner, written)
        self._check_saved(owner, winner)
        self.losers.update((c.value, (r, c)) for r, found in by_row for c in found if c is not winner)
        decisions = tuple(
            Decision("init", c.text, None if c.default else c.place, c is winner)
            for _, found in by_row
            for c in found
        )
        made = Initialisation(winner.value, winner.names, winner.scope), decisions
        if len(by_row) == len(first) == 1 and winner.default and owner.persistent:
            self.alone[winner] = made
        return made

    def _wish(self, owner: TensorRow, written: Sequence[tuple[TensorRow, Candidate]]) -> None:
        """Note what is copied, as the rule of each of its places says."""
        for row, found in written:
            name = copied_name(found.value, found.names)
            if name is not None:
                wish = Wish(row, *name, found.scope, found.selector, found.place)
                self.copying.wishes.setdefault(owner.name, []).append(wish)

    def _candidates(self, row: TensorRow) -> list[Candidate]:
        default = self._default(row)
        found = [default] if default is not None else []
        if row.entry is not None and row.entry.init is not None:
            assert isinstance(row.owner, BlockState)
            own = RuleScope(row.steps[:-1], row.owner.definition.rules, row.owner)
            found.append(self._candidate(row, row.entry.init, str(row.entry.init), row.entry.span, own))
        for scope in row.scopes:
            inner = row.steps[len(scope.steps) :]
            for rule in scope.init.matching(inner) if scope.rules.init else ():
                if row.persistent or not (reads_checkpoint(rule.value) or copies(rule.value)):
                    self.used.add(rule)
                    text = f"{rule.selector.text}: {rule.value}"
                    made = self._candidate(row, rule.value, text, rule.span, scope)
                    found.append(replace(made, selector=scope.selector(rule)))
        return found

    def _default(self, row: TensorRow) -> Candidate | None:
        """Return the last default rule for a tensor of a layer of torch.

        A plugin's layer initialises what is inside it, torch's layers too, and may have set them to zero.
        """
        if not row.of_torch:
            return None
        key = row.owner, id(row.torch_steps)  # those are the same in all places where the layer is
        if key not in self.candidates:
            rule = self._default_rule(row.torch_steps)
            if rule is None:
                return None
            self.candidates[key] = self._candidate(row, rule.value, str(rule.value), rule.span, None)
        return self.candidates[key]

    def _default_rule(self, key: tuple[Step, ...]) -> InitRule | None:
        if key not in self.defaults:
            matching = [rule for rule in default_rules() if rule.selector.matches(key)]
            self.defaults[key] = matching[-1] if matching else None
        return self.defaults[key]

    def _candidate(
        self, row: TensorRow, value: Expression, text: str, place: Span, scope: RuleScope | None
    ) -> Candidate:
        """Return a candidate; `scope` is None for a default rule, which sees the names of the layer alone."""
        key = (value, row.owner, row.torch_steps or row.steps[-1], scope.state if scope else None)
        if key not in self.names:
            self.names[key] = scope_names(row, value, scope.state.values if scope else {})
        return Candidate(value, text, place, self.names[key], scope is None, scope.steps if scope else ())

    def _missing(self, row: TensorRow) -> None:
        if isinstance(row.owner, Leaf) and (row.kind == "buffer" or not row.of_torch):
            return  # the layer makes it itself
        what = "buffer" if row.kind == "buffer" else "parameter"
        self.problems.append(
            Diagnostic(
                "missing-init",
                f"the {what} `{row.name}` has no initialisation",
                row.span,
                help=_with_init(row),
            )
        )

    def _conflicts(self, written: Sequence[tuple[TensorRow, Candidate]]) -> None:
        """Report rules that give one shared tensor different first values."""
        for row, candidate in written[1:]:
            first_row, first = written[0]
            if candidate.value is first.value and candidate.names is first.names:
                continue
            differing = differing_names(first.names, candidate.names)
            same_text = str(candidate.value) == str(first.value)
            if same_text and not differing:
                continue
            self.problems.append(
                Diagnostic(
                    "share-conflict",
                    f"`{first_row.name}` and `{row.name}` are one tensor with two "
                    + ("first values" if same_text else "init rules"),
                    candidate.place,
                    labels=(Label(first.place, f"the rule of `{first_row.name}`"),)
                    if first.place != candidate.place
                    else (),
                    notes=tuple(
                        f"`{name}` is {one} for `{first_row.name}`, {other} for `{row.name}`"
                        for name, (one, other) in differing.items()
                        if same_text
                    ),
                    help="give both the same rule, or narrow one of the selectors",
                )
            )

    def _check(self, row: TensorRow, winner: Candidate) -> None:
        key = (winner.value, tuple(row.tensor.shape), id(winner.names))
        if key not in self.checked:
            self.checked.add(key)
            known = {(problem.code, problem.span) for problem in self.problems}
            found = self._init_problems(row, winner)
            self.problems.extend(problem for problem in found if (problem.code, problem.span) not in known)

    def _check_saved(self, owner: TensorRow, winner: Candidate) -> None:
        """Report what is drawn and not saved: a model that is loaded would be another one."""
        registered = self.inferred.program.scope.plugins.initializers
        if owner.persistent or not draws(winner.value, winner.names, registered):
            return
        self.problems.append(
            Diagnostic(
                "bad-initializer",
                f"`{owner.name}` is not saved, and would be drawn anew when the model is loaded",
                winner.place,
                help="leave out `persistent: false`, or compute its `value`",
            )
        )

    def _check_losers(self) -> None:
        """Check the rules that decide nothing too, except for what depends on the tensor that they lose."""
        won = {key[0] for key in self.checked}
        for value, (row, candidate) in self.losers.items():
            if value not in won and not candidate.default:
                found = self._init_problems(row, candidate)
                self.problems.extend(problem for problem in found if problem.code != "bad-initializer")

    def _init_problems(self, row: TensorRow, candidate: Candidate) -> list[Diagnostic]:
        """Return what is wrong with an initialiser for a tensor."""
        registered = self.inferred.program.scope.plugins.initializers
        try:
            if candidate.default and not registered:
                check_default(candidate.value, candidate.names, *meta(row.tensor))
            else:
                check_initialisation(candidate.value, candidate.names, *meta(row.tensor), registered)
        except SpecError as error:
            note = f"for `{row.name}`, of shape {list(row.tensor.shape)}"
            return [replace(found, notes=(*found.notes, note)) for found in error.diagnostics]
        return []

    # Freezing.

    def _frozen(self, scopes: Sequence[RuleScope]) -> dict[str, list[Decision]]:
        frozen: dict[str, list[Decision]] = {}
        for scope in scopes:
            for row in self.table.below(scope.steps) if scope.rules.freeze else ():
                check_time(row.span)
                for rule in scope.freeze.matching(row.steps[len(scope.steps) :]):
                    self.used.add(rule)
                    decision = Decision("freeze", rule.selector.text, rule.span)
                    frozen.setdefault(row.name, []).append(decision)
        return frozen

    def _trainable(self, group: Group, frozen: Mapping[str, list[Decision]]) -> bool:
        found = frozen_in_part(group, frozen)
        if found is not None and not any(
            found.span == p.span and found.labels == p.labels for p in self.problems
        ):
            self.problems.append(found)  # once for all tensors of two layers
        return not any(row.name in frozen for row in group.rows)

    def _frozen_statistics(self) -> tuple[str, ...]:
        """Return the frozen modules that have running statistics, or buffers that their programs update."""
        found: list[str] = []
        for module in self.table.modules:
            frozen = {
                name: rules for name in statistics_in(module) if (rules := self._freezing(module, name))
            }
            if frozen:
                found.append(module.name)
                self.problems.extend(updates_in_evaluation(module, frozen, self.problems))
        return tuple(found)

    def _freezing(self, module: ModuleRow, name: str) -> list[SelectorRule]:
        """Return the rules that freeze a buffer of a module."""
        steps = (*module.steps, Step(name))
        return [rule for scope in module.scopes for rule in scope.freeze.matching(steps[len(scope.steps) :])]

    # Placement.

    def _placement(self, groups: Sequence[Group]) -> Sites:
        rules = self.inferred.root.definition.rules.placement
        names = [[row.name for row in group.rows] for group in groups]
        placed = sites(self.table, rules, names, self.used.add)
        self.problems.extend(site_problems(self.table, placed, names))
        return placed

    # Rules that match nothing.

    def _report_unused(self, scopes: Sequence[RuleScope]) -> None:
        seen: set[object] = set()
        for scope in scopes:
            rules: list[Selecting] = [
                *scope.rules.init,
                *scope.rules.freeze,
                *scope.rules.placement,
                *scope.rules.parametrize,
            ]
            for rule in rules:
                if rule not in self.used and rule not in seen and not _may_match_nothing(rule):
                    check_time(rule.span)
                    seen.add(rule)
                    self.problems.append(unused_rule(rule, scope, self.table))


def _may_match_nothing(rule: Selecting) -> bool:
    """Return whether a rule came along with a block, or is a placement of the whole model."""
    if isinstance(rule, InitRule | SelectorRule):
        return rule.imported
    return isinstance(rule, PlacementRule) and rule.selector.anchored and not rule.selector.components


def _with_init(row: TensorRow) -> str:
    """Return how a tensor is written with its initialisation."""
    if row.entry is None or row.entry.type is None:
        return f"add a rule under `init:`: `- {row.name}: zeros`"
    written = f'{row.entry.name}: {{tensor: "{row.entry.type}", init: zeros}}'
    return f"write `{written}`, or a rule under `init:`"


@stage("rules")
def apply_rules(inferred: Inferred, limits: Limits) -> Plan:
    """Return the plan of an inferred model.

    Raises:
        SpecError: a rule matches nothing, does not fit, or contradicts another one.
    """
    return RuleApplier(inferred, expand(inferred.root, limits)).plan()


__all__ = ["ModuleRow", "ShareGroup", "Step", "Tie", "apply_rules"]
