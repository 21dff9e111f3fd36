"""Which device each tensor is on: the placement rules, and what they may not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from compiler.devices import AUTO, device_name
from compiler.rule_records import PlacementRule
from compiler.rules.items import bind
from compiler.rules.lookup import Lookup
from compiler.rules.plan import Decision
from compiler.rules.table import Table, TensorRow
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.selectors import path_of
from spec_schema.source import Span


class Site(NamedTuple):
    """Where a tensor is, and the rules that say so."""

    device: str
    decisions: list[Decision]

    @property
    def rule(self) -> Decision | None:
        """The rule that decided, or None where none did."""
        return next((decision for decision in self.decisions if decision.won), None)

    @property
    def place(self) -> Span | None:
        return self.rule.place if self.rule is not None else None


Sites = Mapping[str, Site]
"""The site of each tensor, by its name."""


def sites(
    table: Table,
    rules: Sequence[PlacementRule],
    groups: Iterable[Sequence[str]],
    note: Callable[[PlacementRule], None],
) -> Sites:
    """Return where each tensor is. `groups` are the names of tensors that are one; `note` is told of used rules.

    A name that no rule matches follows the other names of its tensor.

    Raises:
        SpecError: there is no item that a selector names by an index.
    """
    if not rules:
        return dict.fromkeys((row.name for row in table.tensors), Site(AUTO, []))
    if all(_is_whole(rule) for rule in rules) and table.tensors:
        return dict.fromkeys(
            (row.name for row in table.tensors),
            _site(table.tensors[0], Lookup((rule.selector, rule) for rule in rules), note),
        )
    bound = Lookup((bind(rule.selector, table.values, table), rule) for rule in rules)
    found = {row.name: _site(row, bound, note) for row in table.tensors}
    for group in groups:
        placed = next((found[name] for name in group if found[name].decisions), None)
        if placed is not None:
            found.update({name: placed for name in group if not found[name].decisions})
    return found


def _is_whole(rule: PlacementRule) -> bool:
    """Return whether a rule places the whole model."""
    return rule.selector.anchored and not rule.selector.components


def _site(row: TensorRow, rules: Lookup[PlacementRule], note: Callable[[PlacementRule], None]) -> Site:
    check_time(row.span)
    device, decisions = AUTO, []
    for rule in rules.matching(row.steps):
        note(rule)
        if rule.device is not None:
            device = device_name(rule.device)
            text = f"{rule.selector.text}: {rule.device}"
            decisions.append(Decision("placement", text, rule.device_span or rule.span, False))
    if decisions:
        last = decisions[-1]
        decisions[-1] = Decision(last.section, last.text, last.place)
    return Site(device, decisions)


def site_problems(table: Table, found: Sites, groups: Iterable[Sequence[str]]) -> list[Diagnostic]:
    """Return what no placement may say. `groups` are the names of tensors that are one."""
    if len({site.device for site in found.values()}) < 2:
        return []
    return [*_torn_ties(found, groups), *_torn_layers(table, found)]


def _torn_ties(found: Sites, groups: Iterable[Sequence[str]]) -> list[Diagnostic]:
    problems = []
    for first, *others in groups:
        other = next((name for name in others if found[name].device != found[first].device), None)
        if other is not None:
            one, two = _places(found[first], found[other])
            problems.append(
                Diagnostic(
                    "share-conflict",
                    f"`{first}` and `{other}` are one tensor, on {found[first].device} and on "
                    f"{found[other].device}",
                    two,
                    labels=_label(one, two, first),
                    help="place both on one device",
                )
            )
    return problems


def _torn_layers(table: Table, found: Sites) -> list[Diagnostic]:
    """Report layers of the catalogue that would be on two devices: nothing could move values inside them."""
    problems = []
    layers: dict[str, TensorRow] = {}
    torn: set[str] = set()
    for row in table.tensors:
        if row.module is None:
            continue
        layer = path_of(row.steps[: len(row.steps) - len(row.torch_steps) + 1])
        first = layers.setdefault(layer, row)
        if found[first.name].device != found[row.name].device and layer not in torn:
            torn.add(layer)
            problems.append(_torn_layer(layer, first, row, found))
    return problems


def _torn_layer(layer: str, first: TensorRow, second: TensorRow, found: Sites) -> Diagnostic:
    one, two = _places(found[first.name], found[second.name])
    return Diagnostic(
        "device-mix",
        f"the layer `{layer}` would be on two devices: `{first.name}` on {found[first.name].device}, "
        f"`{second.name}` on {found[second.name].device}",
        two or second.span,
        labels=_label(one, two, first.name),
        help=f"place the whole layer: `{layer}`",
    )


def _places(first: Site, second: Site) -> tuple[Span | None, Span | None]:
    """Return the place of each rule, the second one being there if any is."""
    return (first.place, second.place) if second.place is not None else (None, first.place)


def _label(place: Span | None, other: Span | None, name: str) -> tuple[Label, ...]:
    return (Label(place, f"the rule of `{name}`"),) if place is not None and place != other else ()
