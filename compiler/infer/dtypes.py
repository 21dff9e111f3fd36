"""Which dtype each part of a model has: what the placement rules give to the tensors inside it.

The paths of a model are known before its shapes are. Each layer, and each block, is told how far the selectors of the
rules have come on the way to it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from spec_schema.selectors import Reached, Step

if TYPE_CHECKING:
    from compiler.program import ResolvedProgram
    from compiler.rule_records import PlacementRule

FLOAT = torch.float32
"""Of what no rule names, and of what a program or a formula makes without a dtype."""


@dataclass(frozen=True, eq=False)
class Dtypes:
    """The rules that give dtypes, and how far the selector of each has come at some path."""

    rules: tuple[PlacementRule, ...] = ()
    reached: tuple[Reached, ...] = ()

    def inside(self, steps: Sequence[Step]) -> Dtypes:
        """Return the same, some steps further."""
        reached = self.reached
        for step in steps if self.rules else ():
            reached = tuple(each.after(step) for each in reached)
        return replace(self, reached=reached)

    @property
    def naming(self) -> list[PlacementRule]:
        """The rules that name this path, or a module around it."""
        return [rule for rule, at in zip(self.rules, self.reached, strict=True) if at.is_end]

    @property
    def rule(self) -> PlacementRule | None:
        """The rule that decides here: the last of those that name it."""
        return self.naming[-1] if self.naming else None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that `float` is here."""
        rule = self.rule
        return FLOAT if rule is None else named_dtype(rule)

    @property
    def settled(self) -> Dtypes:
        """The same, with the dtype that is decided here for all that is inside."""
        decided = [(rule, at) for rule, at in zip(self.rules, self.reached, strict=True) if at.is_end]
        return Dtypes(tuple(rule for rule, _ in decided), tuple(at for _, at in decided))

    @property
    def key(self) -> Hashable:
        """Equal where all that is inside comes to the same dtypes."""
        return tuple(each.places for each in self.reached)


NO_RULES = Dtypes()


def dtypes_of(program: ResolvedProgram, values: Mapping[str, object]) -> Dtypes:
    """Return the dtypes of a model, at its root. `values` are its compile-time names, which indices may use.

    Raises:
        SpecError: an index in a selector cannot be computed.
    """
    rules = tuple(rule for rule in program.model.rules.placement if rule.dtype is not None)
    return Dtypes(rules, tuple(rule.selector.bound(values).start for rule in rules))


def default_dtype(program: ResolvedProgram) -> torch.dtype:
    """Return the dtype that placement gives to `/`, the whole model; float32 if it does not."""
    rules = [r for r in program.model.rules.placement if r.dtype is not None and r.selector.start.is_end]
    return named_dtype(rules[-1]) if rules else FLOAT


def named_dtype(rule: PlacementRule) -> torch.dtype:
    """Return the dtype that a rule names."""
    found = getattr(torch, rule.dtype or "")
    assert isinstance(found, torch.dtype)
    return found
