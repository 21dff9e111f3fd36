"""Another placement than the spec's, for a model that is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from compiler.artifact import Artifact
from compiler.devices import AUTO, device_problem
from compiler.pipeline import emit, verify
from compiler.pipeline import place as check
from compiler.rule_records import PlacementRule
from compiler.rules.placement import Site, Sites, site_problems, sites
from compiler.rules.plan import Decision, Plan, PlanRow
from compiler.rules.table import RuleScope
from compiler.rules.unused import unused_rule
from spec_schema.diagnostics import SpecError
from spec_schema.selectors import parse_selector
from spec_schema.source import SourceFile, Span

OPTION = "--device"
"""What the caller's rules are read from, as diagnostics name it."""


def place(artifact: Artifact, devices: Mapping[str, str]) -> Artifact:
    """Return the model with the caller's rules, `{selector: device}`, after those of the spec.

    Raises:
        SpecError: a rule is no selector or matches nothing, or the placement is refused.
    """
    rules = _read(devices)
    root = artifact.inferred.root
    plan, used = artifact.plan, set[object]()
    groups = [row.names for row in plan.plain.rows]
    found = sites(plan.table, [*root.definition.rules.placement, *rules], groups, used.add)
    scope = RuleScope((), root.definition.rules, root)
    problems = [unused_rule(rule, scope, plan.table) for rule in rules if rule not in used and plan.rows]
    problems += site_problems(plan.table, found, groups)
    if problems:
        raise SpecError(problems)
    return with_sites(artifact, found)


def _read(devices: Mapping[str, str]) -> list[PlacementRule]:
    """Return the caller's rules, each with a place in a text of its own."""
    rules = []
    problems = []
    for selector, device in devices.items():
        text = f"{selector}={device}"
        file = SourceFile(OPTION, text)
        here = Span(file, 0, len(selector))
        there = Span(file, len(selector) + 1, len(text))
        rules.append(PlacementRule(parse_selector(selector, here), device, None, here, there, None))
        problems.append(device_problem(device, there))
    if any(problems):
        raise SpecError(filter(None, problems))
    return rules


def with_sites(artifact: Artifact, found: Sites) -> Artifact:
    """Return the model with each tensor where `found` says; its source moves values accordingly."""
    rows = tuple(_placed(artifact.plan.rows, found))
    plan = replace(artifact.plan, rows=rows)
    if len(devices_of(artifact.plan)) < 2 and len(devices_of(plan)) < 2:
        return replace(artifact, plan=plan)
    moves = check(artifact.inferred, plan)
    tree, name = emit(artifact.inferred, plan, moves)
    verify(tree, artifact.program.scope.plugins)
    return replace(artifact, name=name, plan=plan, tree=tree)


def _placed(rows: Iterable[PlanRow], found: Sites) -> Iterator[PlanRow]:
    """Yield the rows where `found` says. Those of equal decisions keep having one tuple of them."""
    made: dict[tuple[int, int], tuple[Decision, ...]] = {}
    for row in rows:
        site = found[row.in_table[0]]
        key = id(row.decisions), id(site.decisions)
        if key not in made:
            others = [decision for decision in row.decisions if decision.section != "placement"]
            made[key] = (*others, *site.decisions)
        yield row.placed(site.device, made[key])


def devices_of(plan: Plan) -> list[str]:
    """Return the devices of a plan, in the order of its tensors."""
    return list(dict.fromkeys(row.device for row in plan.rows))


def fill_auto(artifact: Artifact, assigned: Mapping[str, str]) -> Artifact:
    """Return the model with `auto` being, for each tensor by its name, the device in `assigned`."""
    found = {
        name: Site(assigned.get(name, row.device) if row.device == AUTO else row.device, _decisions(row))
        for name, row in artifact.plan.plain.by_name.items()
    }
    return with_sites(artifact, found)


def on_devices(artifact: Artifact, devices: Mapping[str, str]) -> Artifact:
    """Return the model with each tensor on the device that `devices` gives for its canonical name."""
    if all(devices[row.name] == row.device for row in artifact.plan.rows):
        return artifact
    rows = artifact.plan.rows
    sites = {name: Site(devices[row.name], _decisions(row)) for row in rows for name in row.in_table}
    return with_sites(artifact, sites)


def _decisions(row: PlanRow) -> list[Decision]:
    return [decision for decision in row.decisions if decision.section == "placement"]


def bytes_per_device(rows: Iterable[PlanRow]) -> dict[str, int]:
    """Return what the tensors on each device take."""
    total: dict[str, int] = {}
    for row in rows:
        total[row.device] = total.get(row.device, 0) + row.bytes
    return total
