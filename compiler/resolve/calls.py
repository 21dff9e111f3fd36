"""The calls in layer positions of a block."""

from __future__ import annotations

from collections.abc import Iterator

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
    Sequence,
    SequenceBody,
    Splice,
)


def calls_of(definition: Definition) -> Iterator[Call]:
    """Yield every call in a layer position of a block, also those inside of other nodes."""
    body = definition.body
    match body:
        case ModuleBody():
            nodes = list(body.layers.values())
        case ParallelBody():
            nodes = [item.node for item in body.branches]
        case SequenceBody() | ResidualBody():
            nodes = [item.node for item in body.items]
    for node in nodes:
        yield from _calls_in(node)


def _calls_in(node: LayerNode | Splice) -> Iterator[Call]:
    match node:
        case Call():
            yield node
        case Sequence() | Splice():
            for item in node.items:
                yield from _calls_in(item.node)
        case Repeat():
            yield from _calls_in(node.of)
        case Choice():
            yield from _calls_in(node.then)
            if node.otherwise is not None:
                yield from _calls_in(node.otherwise)
        case Inline():
            yield from calls_of(node.definition)
