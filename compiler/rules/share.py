"""Sharing: which places of a model hold one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compiler.rule_records import SelectorRule, ShareGroup
from compiler.rules.equivalence import difference
from compiler.rules.lookup import Lookup
from compiler.rules.plan import Tie
from compiler.rules.table import ModuleRow, RuleScope, Table, TableRow, TensorRow
from compiler.rules.unused import unused_selector
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.selectors import Step, names_of


@dataclass(eq=False)
class Group:
    """The places of one tensor, its owner first, and the rules that joined them."""

    rows: list[TensorRow]
    rules: list[ShareGroup] = field(default_factory=list)


@dataclass(eq=False)
class _Sharing:
    """Joins tensors of a table; problems are collected."""

    table: Table
    problems: list[Diagnostic]
    used: set[object]
    """Among others the selectors that take nothing, on purpose."""
    groups: dict[str, Group]
    ties: list[Tie] = field(default_factory=list)

    def apply(self, scope: RuleScope, rule: ShareGroup, named: Mapping[SelectorRule, list[TableRow]]) -> None:
        """Join what the selectors of a rule name."""
        targets: list[tuple[TableRow, SelectorRule]] = []
        matched = True
        check_time(rule.span)
        for selector in rule.selectors:
            found = named.get(selector, [])
            if not found and selector.imported:
                return
            if not found and selector not in self.used:
                self.problems.append(unused_selector(selector, scope, self.table))
                matched = False
            targets.extend((place, selector) for place in found)
        emptied = any(selector in self.used for selector in rule.selectors)
        imported = all(selector.imported for selector in rule.selectors)
        if not matched or ((emptied or imported) and len(targets) < 2):
            return
        if len(targets) < 2:
            what = f"`{targets[0][0].name}` is shared with nothing" if targets else "nothing is shared here"
            self.problems.append(Diagnostic("share-alone", what, rule.span, help="name two or more"))
            return
        odd = [t for t in targets if isinstance(t[0], ModuleRow) != isinstance(targets[0][0], ModuleRow)]
        if odd:
            self.problems.append(_kinds_differ(targets[0], odd[0]))
            return
        for place, selector in targets[1:]:
            check_time(rule.span)
            self._tie(scope, rule, targets[0], (place, selector))

    def named(self, scope: RuleScope) -> dict[SelectorRule, list[TableRow]]:
        """Return what each selector of the groups of a block names."""
        depth = len(scope.steps)
        selectors = [each for rule in scope.rules.share for each in rule.selectors]
        lookup = Lookup((scope.selector(each), each) for each in selectors)
        found: dict[SelectorRule, list[TableRow]] = {}
        for place in (*self.table.modules_below(scope.steps), *self.table.below(scope.steps)):
            check_time(scope.state.definition.span)
            for each in lookup.naming(place.steps[depth:]):
                found.setdefault(each, []).append(place)
        return {each: sorted(places, key=_by_name) for each, places in found.items()}

    def _tie(
        self,
        scope: RuleScope,
        rule: ShareGroup,
        owner: tuple[TableRow, SelectorRule],
        alias: tuple[TableRow, SelectorRule],
    ) -> None:
        first, second = owner[0], alias[0]
        if (
            first.steps == second.steps[: len(first.steps)]
            or second.steps == first.steps[: len(second.steps)]
        ):
            self.problems.append(_nested(first, second, alias[1]))
            return
        pairs = self._pairs(first, second, alias[1], owner[1])
        if pairs is None:
            return
        if isinstance(first, ModuleRow) and isinstance(second, ModuleRow):
            self._check_alike(first, second, alias[1])
        for a, b in pairs:
            self._join(rule, a, b, alias)
        depth = len(scope.steps)
        self.ties.append(
            Tie(first.steps[depth:], second.steps[depth:], isinstance(first, ModuleRow), scope.steps)
        )

    def _pairs(
        self, first: TableRow, second: TableRow, rule: SelectorRule, owner: SelectorRule
    ) -> list[tuple[TensorRow, TensorRow]] | None:
        """Return the tensors that become one, or report why they cannot and return None."""
        one, two = _tensors(self.table, first), _tensors(self.table, second)
        if isinstance(first, ModuleRow) and isinstance(second, ModuleRow) and first.state is second.state:
            return list(zip(one, two, strict=True))
        relative_one = {row.steps[len(first.steps) :]: row for row in one}
        relative_two = {row.steps[len(second.steps) :]: row for row in two}
        names_one = [names_of(steps) for steps in relative_one]
        names_two = [names_of(steps) for steps in relative_two]
        if names_one != names_two:
            odd = next((n for n in [*names_one, *names_two] if (n in names_one) != (n in names_two)), ())
            self.problems.append(
                Diagnostic(
                    "share-kinds",
                    f"`{first.name}` and `{second.name}` hold different tensors",
                    rule.span,
                    notes=(f"only one of them has `{'.'.join(odd)}`",),
                )
            )
            return None
        pairs = list(zip(one, two, strict=True))
        for a, b in pairs:
            if a.tensor.shape != b.tensor.shape or a.tensor.dtype != b.tensor.dtype:
                self.problems.append(_shapes_differ(a, b, rule, owner))
                return None
            if a.kind != b.kind:
                self.problems.append(_kinds_of_tensor_differ(a, b, rule, owner))
                return None
        return pairs

    def _check_alike(self, one: ModuleRow, other: ModuleRow, rule: SelectorRule) -> None:
        """Report a layer that would do something else if another one stood in for it."""
        found = difference(one, other)
        if found is None:
            return
        inner = f".{found.path}" if found.path else ""
        self.problems.append(
            Diagnostic(
                "share-kinds",
                f"`{one.name}` and `{other.name}` are not the same layer",
                rule.span,
                notes=(f"`{one.name}{inner}` is `{found.one}`, `{other.name}{inner}` is `{found.other}`",),
                help="write both alike, or share their tensors alone",
            )
        )

    def _join(
        self, rule: ShareGroup, a: TensorRow, b: TensorRow, alias: tuple[TableRow, SelectorRule]
    ) -> None:
        one, two = self.groups[a.name], self.groups[b.name]
        if one is two and rule in one.rules:
            return
        foreign = [r for r in (*two.rules, *one.rules) if r is not rule]
        twice = b if foreign and foreign[0] in two.rules else a
        if foreign and not _joined_inside(rule, one, two, alias[0]):
            self.problems.append(
                Diagnostic(
                    "share-overlap",
                    f"`{rule.name}` and `{foreign[0].name}` both share `{twice.name}`",
                    alias[1].span,
                    labels=(Label(foreign[0].span, "the other group"),),
                    help="make one group of them",
                )
            )
            return
        one.rows.extend(two.rows)
        if rule not in one.rules:
            one.rules.append(rule)
        for row in two.rows:
            self.groups[row.name] = one


def _joined_inside(rule: ShareGroup, one: Group, two: Group, alias: TableRow) -> bool:
    """Return whether a rule of a block inside two layers, which become one, has joined the same tensors in each."""
    inside = all(row.steps[: len(alias.steps)] == alias.steps for row in two.rows)
    others = set(one.rules) - {rule}
    return isinstance(alias, ModuleRow) and inside and one is not two and others == set(two.rules)


def _tensors(table: Table, place: TableRow) -> Sequence[TensorRow]:
    return [place] if isinstance(place, TensorRow) else table.below(place.steps)


def _nested(first: TableRow, second: TableRow, rule: SelectorRule) -> Diagnostic:
    inner, outer = (first, second) if len(first.steps) > len(second.steps) else (second, first)
    message = f"`{inner.name}` is inside `{outer.name}`"
    if first.steps == second.steps:
        message = f"`{first.name}` is named twice"
    return Diagnostic("share-overlap", message, rule.span)


def _kinds_differ(first: tuple[TableRow, SelectorRule], odd: tuple[TableRow, SelectorRule]) -> Diagnostic:
    kinds = ["a layer" if isinstance(place, ModuleRow) else "a tensor" for place in (first[0], odd[0])]
    return Diagnostic(
        "share-kinds",
        f"`{odd[0].name}` is {kinds[1]}, and `{first[0].name}` is {kinds[0]}",
        odd[1].span,
        labels=(Label(first[1].span, kinds[0]),),
        help="share layers with layers, and tensors with tensors",
    )


def _kinds_of_tensor_differ(
    a: TensorRow, b: TensorRow, rule: SelectorRule, owner: SelectorRule
) -> Diagnostic:
    labels = (Label(owner.span, f"a {a.kind}"),) if owner.span != rule.span else ()
    message = f"`{b.name}` is a {b.kind}, and `{a.name}` is a {a.kind}"
    return Diagnostic(
        "share-kinds", message, rule.span, labels=labels, help="share parameters, or share buffers"
    )


def _shapes_differ(a: TensorRow, b: TensorRow, rule: SelectorRule, owner: SelectorRule) -> Diagnostic:
    return Diagnostic(
        "share-shapes",
        f"`{a.name}` and `{b.name}` cannot be one tensor",
        rule.span,
        label=_form(b),
        labels=(Label(owner.span, _form(a)),) if owner.span != rule.span else (),
        notes=(f"`{a.name}` is {_form(a)}, `{b.name}` is {_form(b)}",) if owner.span == rule.span else (),
    )


def _by_name(place: TableRow) -> list[tuple[int, str]]:
    """Order what one selector names, so that the owner does not depend on the order of declarations."""
    return [(int(s.name), "") if s.name.isdecimal() else (-1, s.name) for s in place.steps]


def _form(row: TensorRow) -> str:
    return f"{str(row.tensor.dtype).removeprefix('torch.')}{list(row.tensor.shape)}"


def _own_groups(table: Table) -> dict[str, Group]:
    """Return each tensor alone, except one that a layer holds under several names: its constructor shares it."""
    made: dict[tuple[ModuleRow, int], Group] = {}
    groups = {}
    for row in table.tensors:
        group = made.setdefault((row.layer, id(row.tensor)), Group([])) if row.layer else Group([])
        group.rows.append(row)
        groups[row.name] = group
    return groups


def resolve_shares(
    table: Table, scopes: Sequence[RuleScope], problems: list[Diagnostic], used: set[object]
) -> tuple[list[Group], list[Tie]]:
    """Return the tensors of a model in groups that are one, and the ties that make them so."""
    sharing = _Sharing(table, problems, used, _own_groups(table))
    for scope in scopes:
        named = sharing.named(scope) if scope.rules.share else {}
        for rule in scope.rules.share:
            sharing.apply(scope, rule, named)
    order: dict[int, Group] = {}
    for row in table.tensors:
        group = sharing.groups[row.name]
        order.setdefault(id(group), group)
    return list(order.values()), sharing.ties


__all__ = ["Group", "Step", "resolve_shares"]
