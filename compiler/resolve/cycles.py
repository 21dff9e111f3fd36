"""Blocks that contain themselves."""

from __future__ import annotations

from compiler.program import (
    Call,
    Choice,
    Definition,
    Inline,
    LayerNode,
    ModuleBody,
    ParallelBody,
    Repeat,
    ResidualBody,
    Scope,
    Sequence,
    SequenceBody,
    Splice,
)
from spec_schema.diagnostics import Diagnostic, refuse


def cycles(scope: Scope) -> list[Diagnostic]:
    """Return a diagnostic for each block that contains itself."""
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
    for inner in _blocks_of(definition):
        _visit(inner, (*trail, definition), state, problems)
    state.setdefault(id(definition), "done")


def _blocks_of(definition: Definition) -> list[Definition]:
    body = definition.body
    match body:
        case ModuleBody():
            nodes = list(body.layers.values())
        case ParallelBody():
            nodes = [item.node for item in body.branches]
        case SequenceBody() | ResidualBody():
            nodes = [item.node for item in body.items]
    return [found for node in nodes for found in _blocks_in(node)]


def _blocks_in(node: LayerNode | Splice) -> list[Definition]:
    match node:
        case Call():
            own = [node.scope.blocks[node.target]] if node.kind == "block" else []
            return own
        case Sequence() | Splice():
            return [found for item in node.items for found in _blocks_in(item.node)]
        case Repeat():
            return _blocks_in(node.of)
        case Choice():
            return _blocks_in(node.then) + (_blocks_in(node.otherwise) if node.otherwise else [])
        case Inline():
            return _blocks_of(node.definition)
    return []
