"""Rules for all layers of a type: `Linear.weight: normal(std=0.02)` as a loop over modules, if nothing overrules it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from compiler.catalogue.layers import layer_names
from compiler.catalogue.padding import padding_row
from compiler.emit.readings import Readings
from compiler.emit.sites import is_optional, is_typed
from compiler.emit.spots import Spot
from compiler.rule_records import InitRule
from compiler.rules.layer_values import layer_value
from compiler.rules.plan import Plan
from compiler.rules.table import RuleScope, TensorRow
from spec_schema.selectors import Selector


@dataclass(frozen=True, eq=False)
class Filled:
    """A tensor of all layers of a type that one initialiser fills."""

    name: str
    spots: list[Spot]
    optional: bool
    """Whether it may be None."""
    padded: bool
    """Whether some of the layers have a row of padding in it."""


@dataclass(eq=False)
class TypeLoop:
    """What a loop over modules does with those of one type."""

    cls: type[nn.Module]
    filled: list[Filled] = field(default_factory=list)


def common(runs: Sequence[Mapping[Hashable, list[TypeLoop]]]) -> Mapping[Hashable, list[TypeLoop]]:
    """Return the loops of each class that are the same in all runs in which it is."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return {key: _common([run[key] for run in runs if key in run]) for key in keys}


def _common(runs: Sequence[list[TypeLoop]]) -> list[TypeLoop]:
    found: list[TypeLoop] = []
    for loop in runs[0]:
        others = [{each.cls: each for each in run}.get(loop.cls) for run in runs[1:]]
        same = [_filled_alike(filled, [each.filled for each in others if each]) for filled in loop.filled]
        kept = [filled for filled in same if filled is not None]
        if kept and None not in others:
            found.append(TypeLoop(loop.cls, kept))
    return found


def _filled_alike(filled: Filled, others: Sequence[list[Filled]]) -> Filled | None:
    """Return what fills a tensor in all runs, None if one has another initialiser for it."""
    value = filled.spots[0].initialisation.expression
    alike = [
        next(
            (f for f in each if f.name == filled.name and f.spots[0].initialisation.expression is value),
            None,
        )
        for each in others
    ]
    known = [filled, *(each for each in alike if each is not None)]
    if None in alike:
        return None
    spots = [spot for each in known for spot in each.spots]
    return Filled(filled.name, spots, any(f.optional for f in known), any(f.padded for f in known))


class TypeRules:
    """Finds the loops of the classes of one model."""

    def __init__(
        self, plan: Plan, found: Sequence[Spot], readings: Readings, copied: Mapping[str, int]
    ) -> None:
        self.plan, self.readings, self.copied = plan, readings, copied
        self.spots: Mapping[str, Spot] = {name: spot for spot in found for name in spot.plan.names}
        """By each of the names."""

    def loops(self, scopes: Sequence[RuleScope]) -> list[TypeLoop]:
        """Return the loops of a class, whose instances are `scopes`."""
        inside = [
            row for scope in scopes for row in self.plan.table.below(scope.steps) if row.module is not None
        ]
        modules = [
            row.module
            for scope in scopes
            for row in self.plan.table.modules_below(scope.steps)
            if row.module is not None
        ]
        result: dict[type[nn.Module], TypeLoop] = {}
        decided = self._by_value(inside)
        for rule in scopes[0].rules.init:
            for cls, name in self._candidates(rule, decided.get(id(rule.value), [])):
                filled = self._filled(rule, cls, name, inside, modules, scopes)
                if filled is not None:
                    result.setdefault(cls, TypeLoop(cls)).filled.append(filled)
        return list(result.values())

    def _by_value(self, inside: Sequence[TensorRow]) -> Mapping[int, list[TensorRow]]:
        """Return the tensors of layers by the identity of the value that their initialiser has."""
        found: dict[int, list[TensorRow]] = {}
        for row in inside:
            spot = self.spots.get(row.name)
            if spot is not None and not (spot.is_read or spot.is_copied) and row.name == spot.plan.name:
                found.setdefault(id(spot.initialisation.expression), []).append(row)
        return found

    def _candidates(self, rule: InitRule, rows: Sequence[TensorRow]) -> list[tuple[type[nn.Module], str]]:
        """Return the types of torch that a rule names, each with a tensor; `rows` are those that it decides."""
        if rule.condition is not None or rule.conditional or not _is_of_type(rule.selector):
            return []
        found: dict[tuple[type[nn.Module], str], None] = {}
        for row in rows:
            cls, name = type(row.module), row.steps[-1].name
            if issubclass(cls, nn.Module) and _names(rule.selector, cls) and is_typed(cls, name):
                found[cls, name] = None
        return list(found)

    def _filled(
        self,
        rule: InitRule,
        cls: type[nn.Module],
        name: str,
        inside: Sequence[TensorRow],
        modules: Sequence[nn.Module],
        scopes: Sequence[RuleScope],
    ) -> Filled | None:
        """Return what a loop fills, None if one of the tensors that it would fill has another initialiser."""
        every = [row for row in inside if isinstance(row.module, cls) and row.steps[-1].name == name]
        rows = [row for row in every if not self._is_overwritten(row, scopes)]
        spots = [self.spots.get(row.name) for row in rows]
        known = [spot for spot in spots if spot is not None]
        others = [module for module in modules if isinstance(module, cls)]
        if len(known) < len(rows) or not all(type(m) is cls and hasattr(m, name) for m in others):
            return None
        if not all(self._is_same(rule, row, spot) for row, spot in zip(rows, known, strict=True)):
            return None
        if len({self.readings.of(spot.plan).form for spot in known}) > 1:
            return None
        optional = is_optional(cls, name) or any(getattr(module, name) is None for module in others)
        padded = any(_is_padded(spot, row) for spot, row in zip(known, rows, strict=True))
        return Filled(name, [replace(s, row=r) for s, r in zip(known, rows, strict=True)], optional, padded)

    def _is_overwritten(self, row: TensorRow, scopes: Sequence[RuleScope]) -> bool:
        """Return whether a tensor gets the values of another one behind all loops of a class."""
        spot = self.spots.get(row.name)
        depths = (len(each.steps) for each in scopes if each.steps == row.steps[: len(each.steps)])
        return spot is not None and spot.is_copied and self.copied.get(spot.plan.name, 0) <= min(depths)

    def _is_same(self, rule: InitRule, row: TensorRow, spot: Spot) -> bool:
        """Return whether a rule gives a tensor, by any of its names, what the plan gives it."""
        made = spot.initialisation
        if made.expression is not rule.value:  # a tensor that is shared may have the rule of another name
            return not made.names and str(made.expression) == str(rule.value)
        return all(
            spot.sees(name) or layer_value(row, name) == (value,) for name, value in made.names.items()
        )


def _is_padded(spot: Spot, row: TensorRow) -> bool:
    """Return whether a loop has to leave a row of zeros; one in a tensor with more names is written behind it."""
    return len(spot.plan.names) == 1 and padding_row(row.module, row.steps[-1].name) is not None


def _is_of_type(selector: Selector) -> bool:
    """Return whether a selector may be one of a type, or of a tensor of a type."""
    return not selector.anchored and not selector.indices and 1 <= len(selector.components) <= 2


def _names(selector: Selector, cls: type[nn.Module]) -> bool:
    first = selector.components[0]
    known = cls.__name__ in layer_names() and getattr(nn, cls.__name__, None) is cls
    return known and isinstance(first, re.Pattern) and first.fullmatch(cls.__name__) is not None
