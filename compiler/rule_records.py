"""The rules of a spec or a block: selectors with what they decide, and the conditions that they stand under.

Every record is frozen and carries its span from birth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from compiler.catalogue.parametrization_table import ParametrizationType
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression
from spec_schema.selectors import Selector
from spec_schema.source import Span


@dataclass(frozen=True, eq=False)
class SelectorRule:
    """A selector with the place where it stands."""

    selector: Selector
    span: Span
    conditional: bool = False
    """Whether it stands under an `if`."""
    condition: Expression | None = None
    """What each instance of the block decides; None where it holds in all."""
    imported: bool = False
    """Whether it came along with an imported block, and so may match nothing in it."""


@dataclass(frozen=True, eq=False)
class InitRule:
    selector: Selector
    value: Expression
    span: Span
    conditional: bool = False
    condition: Expression | None = None
    imported: bool = False


@dataclass(frozen=True, eq=False)
class ShareGroup:
    name: str
    selectors: tuple[SelectorRule, ...]
    span: Span
    condition: Expression | None = None


@dataclass(frozen=True, eq=False)
class PlacementRule:
    selector: Selector
    device: str | None
    dtype: str | None
    span: Span
    device_span: Span | None
    dtype_span: Span | None
    conditional: bool = False
    condition: Expression | None = None


@dataclass(frozen=True, eq=False)
class ParametrizeRule:
    """A parametrisation, such as `spectral_norm(n_power_iterations=2)`, for parameters of layers."""

    selector: Selector
    value: Expression
    span: Span
    type: ParametrizationType
    conditional: bool = False
    condition: Expression | None = None


Rule = TypeVar("Rule", InitRule, ShareGroup, SelectorRule, PlacementRule, ParametrizeRule)
Selecting = InitRule | SelectorRule | PlacementRule | ParametrizeRule
"""A rule with one selector."""


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules that a spec, or a block, holds."""

    init: tuple[InitRule, ...] = ()
    share: tuple[ShareGroup, ...] = ()
    freeze: tuple[SelectorRule, ...] = ()
    placement: tuple[PlacementRule, ...] = ()
    parametrize: tuple[ParametrizeRule, ...] = ()

    def indexed(self) -> list[Selecting]:
        """Return what has a selector with an index, those of share groups among it."""
        sharing = [selector for group in self.share for selector in group.selectors]
        every: list[Selecting]
        every = [*self.init, *sharing, *self.freeze, *self.placement, *self.parametrize]
        return [rule for rule in every if rule.selector.indices]

    @property
    def conditions(self) -> dict[Expression, None]:
        """The conditions that some of them stand under."""
        every: list[Selecting | ShareGroup]
        every = [*self.init, *self.share, *self.freeze, *self.placement, *self.parametrize]
        return dict.fromkeys(rule.condition for rule in every if rule.condition is not None)

    def holding(self, values: Mapping[str, object]) -> Rules:
        """Return those whose condition holds, and those that stand under none.

        Raises:
            SpecError: a condition cannot be computed.
        """
        holds = {each: bool(evaluate(each, values)) for each in self.conditions}
        if all(holds.values()):
            return self

        def kept(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            return tuple(rule for rule in rules if rule.condition is None or holds[rule.condition])

        return Rules(
            kept(self.init),
            kept(self.share),
            kept(self.freeze),
            kept(self.placement),
            kept(self.parametrize),
        )

    def decided(self, values: Mapping[str, object]) -> Rules:
        """Return those that hold, as rules that hold whatever else has these names.

        Raises:
            SpecError: a condition cannot be computed.
        """

        def free(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            return tuple(replace(rule, condition=None) if rule.condition else rule for rule in rules)

        held = self.holding(values)
        return Rules(
            free(held.init),
            free(held.share),
            free(held.freeze),
            free(held.placement),
            free(held.parametrize),
        )
