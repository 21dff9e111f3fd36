"""Frozen modules whose buffers a forward would change: what changes them, and whether evaluation keeps them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from compiler.infer.states import BlockState, updated_in
from compiler.program import ModuleBody
from compiler.resolve.updates import updates_of
from compiler.rule_records import SelectorRule
from compiler.rules.table import ModuleRow
from spec_schema.diagnostics import Diagnostic, Label

STATISTICS = "running_mean"
"""A layer that has such a buffer changes it, and others, in training."""


def statistics_in(module: ModuleRow) -> Collection[str]:
    """Return the buffers of a module that its forward may change, one of them for a layer of torch."""
    own = updated_in(module.state) if isinstance(module.state, BlockState) else ()
    has_statistics = getattr(module.module, STATISTICS, None) is not None
    return [*own, STATISTICS] if has_statistics else own


def updates_in_evaluation(
    module: ModuleRow, frozen: Mapping[str, Sequence[SelectorRule]], known: Sequence[Diagnostic]
) -> Iterator[Diagnostic]:
    """Yield what is frozen, and would be changed all the same: a frozen block is in evaluation mode."""
    if not isinstance(module.state, BlockState):
        return
    body = module.state.definition.body
    assert isinstance(body, ModuleBody)
    if body.program is None:
        return
    updates = updates_of(body, module.state.values)
    for name in sorted(updates.places.keys() & frozen.keys()):
        rule = frozen[name][0]
        place = body.program.span(updates.places[name])
        labels = (Label(place, "updated here"),)
        if not any(problem.span == rule.span and problem.labels == labels for problem in known):
            yield Diagnostic(
                "frozen-update",
                f"`{module.name + '.' if module.name else ''}{name}` is frozen, and is updated in evaluation too",
                rule.span,
                labels=labels,
                notes=("a frozen block is in evaluation mode while the model trains",),
                help="update it where the program says `if training:`",
            )
