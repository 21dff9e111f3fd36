"""The pydantic models of rules: initialisers, shares, what is frozen, and placement."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from spec_schema.reader import Entries, Items
from spec_schema.records import ExpressionText, Record, SelectorText, Text, Whole, short_or_long


class PartsEntry(Record):
    """`{parts: [q, k, v], dim: 1}`: names that one tensor is split into, or that are stacked to one."""

    parts: list[Text]
    dim: Whole | None = None


PartsNode = Annotated[
    Annotated[list[Text], Tag("@short")] | Annotated[PartsEntry, Tag("@long")], Discriminator(short_or_long)
]
TransposeNode = Annotated[
    Annotated[list[SelectorText], Tag("@short")] | Annotated[dict[str, list[Whole]], Tag("@long")],
    Discriminator(short_or_long),
]


class CheckpointEntry(Record):
    """`{checkpoint: gpt2/, rename: {...}}`: the long form of the initialiser `checkpoint(...)`."""

    checkpoint: Text
    prefix: Text | None = None
    rename: dict[str, Text] = Field(default_factory=dict)
    transpose: TransposeNode = Field(default_factory=list)
    split: dict[str, PartsNode] = Field(default_factory=dict)
    stack: dict[str, PartsNode] = Field(default_factory=dict)
    skip: list[SelectorText] = Field(default_factory=list)


InitNode = Annotated[
    Annotated[ExpressionText, Tag("@short")] | Annotated[CheckpointEntry, Tag("@long")],
    Discriminator(short_or_long),
]
InitRule = dict[str, InitNode]
"""One `selector: initializer`."""


CONDITIONAL = "@if"


def rule_kind(value: Any) -> str:
    """Return the form of an item of a list of rules: one of a mapping, or rules under a condition."""
    conditional = isinstance(value, Entries) and ("if" in value or isinstance(value.get("then"), Items))
    return CONDITIONAL if conditional else "@short"


class Conditional(Record):
    """What holds where a condition over the variables of the spec does."""

    if_: ExpressionText = Field(alias="if")


class ConditionalInit(Conditional):
    """`{if: expr, then: [{selector: initializer}]}`."""

    then: list[InitRule]


InitItem = Annotated[
    Annotated[InitRule, Tag("@short")] | Annotated[ConditionalInit, Tag(CONDITIONAL)],
    Discriminator(rule_kind),
]


class PlacementEntry(Record):
    """`{device: cuda:1, dtype: bfloat16}`."""

    device: Text | None = None
    dtype: Text | None = None


PlacementNode = Annotated[
    Annotated[Text, Tag("@short")] | Annotated[PlacementEntry, Tag("@long")], Discriminator(short_or_long)
]


PlacementRule = dict[str, PlacementNode]
"""One `selector: device`."""


class ConditionalPlacement(Conditional):
    """`{if: expr, then: [{selector: device}]}`."""

    then: list[PlacementRule]


PlacementItem = Annotated[
    Annotated[PlacementRule, Tag("@short")] | Annotated[ConditionalPlacement, Tag(CONDITIONAL)],
    Discriminator(rule_kind),
]


ParametrizeRule = dict[str, ExpressionText]
"""One `selector: parametrisation`."""


class ConditionalParametrize(Conditional):
    """`{if: expr, then: [{selector: parametrisation}]}`."""

    then: list[ParametrizeRule]


ParametrizeItem = Annotated[
    Annotated[ParametrizeRule, Tag("@short")] | Annotated[ConditionalParametrize, Tag(CONDITIONAL)],
    Discriminator(rule_kind),
]


class ConditionalGroup(Conditional):
    """`{if: expr, then: [selector, selector]}`: those who share, or what is frozen, where the condition holds."""

    then: list[SelectorText]


GroupNode = Annotated[
    Annotated[list[SelectorText], Tag("@short")] | Annotated[ConditionalGroup, Tag("@long")],
    Discriminator(short_or_long),
]


FreezeItem = Annotated[
    Annotated[SelectorText, Tag("@short")] | Annotated[ConditionalGroup, Tag("@long")],
    Discriminator(short_or_long),
]


class RuleBearer(Record):
    """What may hold rules: a spec, or a block."""

    share: dict[str, GroupNode] = Field(default_factory=dict)
    init: list[InitItem] = Field(default_factory=list)
    freeze: list[FreezeItem] = Field(default_factory=list)
