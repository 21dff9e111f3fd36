"""The layer that a block extends: `extends: BatchNorm2d(dim)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compiler.program import BASE_CALL, Call, Input, LayerNode, Parameter, TensorEntry
from compiler.resolve.nodes import NodeReader
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.document import Body
from spec_schema.source import Span


def read_base(body: Body, reader: NodeReader) -> Call | None:
    """Return the call of the layer that a block extends, None if there is none or after noting what is wrong."""
    if body.extends is None:
        return None
    read = reader.named_layer(body.extends)
    if read is None:
        return None
    try:
        return _layer(read)
    except SpecError as error:
        reader.problems.extend(error.diagnostics)
        return None


def _layer(read: LayerNode) -> Call:
    if isinstance(read, Call) and read.kind in ("layer", "recipe"):
        return read
    what = f"the {read.kind} `{read.target}`" if isinstance(read, Call) else "not the call of one"
    raise not_extended(what, read.span)


def not_extended(what: str, place: Span) -> SpecError:
    """Return the refusal of a base that is no layer of the catalogue."""
    help = "name it under `layers:`, and call it in `forward`"
    return refuse("not-a-layer", f"a block extends one layer, and this is {what}", place, help=help)


def base_hidden(
    place: Span,
    named: Mapping[str, Span],
    tensors: Mapping[str, TensorEntry],
    given: Iterable[Parameter | Input],
) -> Iterator[Diagnostic]:
    """Yield what a block that extends a layer, at `place`, calls `base` itself."""
    found = {**{each.name: each.span for each in given}, **named}
    found |= {name: entry.span for name, entry in tensors.items()}
    if BASE_CALL in found:
        message, labels = f"`{BASE_CALL}` is the layer that the block extends", (Label(place, "the base"),)
        help = "give it another name"
        yield Diagnostic("duplicate-name", message, found[BASE_CALL], labels=labels, help=help)
