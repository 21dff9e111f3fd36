"""Blocks that contain themselves, whatever their arguments are."""

from __future__ import annotations

from compiler.program import Definition, Scope
from compiler.resolve.calls import calls_of
from spec_schema.diagnostics import Diagnostic, refuse


def cycles(scope: Scope) -> list[Diagnostic]:
    """Return a diagnostic for each block that always contains itself: under no condition, and in no repeat."""
    state: dict[int, str] = {}
    problems: list[Diagnostic] = []
    for definition in scope.blocks.values():
        _visit(definition, (), state, problems)
    return problems


def _visit(
    definition: Definition, trail: tuple[Definition, ...], state: dict[int, str], problems: list[Diagnostic]
) -> None:
    if definition in trail:
        names = [d.name for d in trail[trail.index(definition) :]] + [definition.name]
        if state.get(id(definition)) != "cycle":
            state[id(definition)] = "cycle"
            problems.append(
                Diagnostic(
                    "block-cycle",
                    f"the block `{definition.name}` contains itself",
                    definition.span,
                    notes=(" → ".join(names),),
                )
            )
        return
    if id(definition) in state:
        return
    if len(trail) > 32:
        raise refuse("block-depth", "blocks are nested more than 32 deep", definition.span)
    for call in calls_of(definition, always=True):
        if call.kind == "block":
            _visit(call.scope.blocks[call.target], (*trail, definition), state, problems)
    state.setdefault(id(definition), "done")
