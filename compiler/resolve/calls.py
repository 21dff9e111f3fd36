"""The nodes of a block, and the calls in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.program import (
    Call,
    CallBody,
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


def nodes_of(definition: Definition) -> list[LayerNode]:
    """Return the nodes of a block."""
    body = definition.body
    match body:
        case ModuleBody():
            return list(body.layers.values())
        case ParallelBody():
            return [item.node for item in body.branches]
        case SequenceBody() | ResidualBody():
            return [item.node for item in body.items]


def stands_for(call: Call) -> Call | None:
    """Return the call that a block is which is no more than one, None for any other block or layer."""
    body = call.scope.blocks[call.target].body if call.kind == "block" else None
    return body.call if isinstance(body, CallBody) else None


def meant(call: Call) -> Call:
    """Return the call of the layer or block that is made where this one stands."""
    while (inner := stands_for(call)) is not None:
        call = inner
    return call


def parts_of(node: LayerNode | Splice) -> list[LayerNode | Splice]:
    """Return the nodes directly inside a node, except those of a block that is written in place."""
    match node:
        case Sequence() | Splice():
            return [item.node for item in node.items]
        case Choice():
            return [node.then, *([node.otherwise] if node.otherwise else [])]
        case Repeat():
            return [node.of]
    return []


def repeats_in(nodes: Iterable[LayerNode | Splice]) -> Iterator[Repeat]:
    """Yield the repeats among nodes, and inside of them, that stand in no other."""
    for node in nodes:
        if isinstance(node, Repeat):
            yield node
        else:
            yield from repeats_in(parts_of(node))


def calls_of(definition: Definition, always: bool = False) -> Iterator[Call]:
    """Yield every call in a layer position of a block, also those inside of other nodes.

    With `always` those alone that are made whatever the arguments of the block are.
    """
    for node in nodes_of(definition):
        yield from _calls_in(node, always)


def _calls_in(node: LayerNode | Splice, always: bool) -> Iterator[Call]:
    match node:
        case Choice() | Repeat() if always:
            return
        case Call():
            yield node
        case Inline():
            yield from calls_of(node.definition, always)
    for part in parts_of(node):
        yield from _calls_in(part, always)
