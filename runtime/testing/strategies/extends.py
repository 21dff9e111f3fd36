"""Layers that a block extends, and how its program uses them."""

from __future__ import annotations

from runtime.testing.strategies.draft import atom
from runtime.testing.strategies.layers import Node, projection
from runtime.testing.strategies.tensors import FEATURES, IMAGE, Draw, Flow, Width, pick, rarely
from runtime.testing.strategies.writer import Writer

BASES: dict[str, tuple[Node, ...]] = {
    FEATURES: ("LayerNorm", "RMSNorm", "LayerNorm(eps=1e-3)", {"layer": "LayerNorm", "eps": 0.01}),
    IMAGE: (
        "BatchNorm2d",
        "GroupNorm(1)",
        "BatchNorm2d(track_running_stats=False)",
        "InstanceNorm2d(affine=True, track_running_stats=True)",
    ),
}
"""By layout, what leaves the shape as it is, and has a weight."""
TAKEN = ("base", "weight", "bias")
"""Names of a layer that is extended, which nothing beside it has."""


def base(draw: Draw, flow: Flow) -> Node:
    """Draw a layer to extend that leaves the shape as it is."""
    return pick(draw, *BASES[flow.family])


def extend(draw: Draw, writer: Writer) -> None:
    """Let the block of a program extend a layer, which the program calls, reads, or both."""
    flow = after = writer.env[writer.main]
    writer.base, writer.taken = base(draw, flow), {*writer.taken, *TAKEN}
    forms = ["base({x})", "base({x})", "{x} * base.weight.mean()", "base(base({x})) + base.weight.sum()"]
    if not writer.keep and rarely(draw, 2):
        after = flow.wide(Width(atom(draw, writer.scope)))
        writer.base = projection(draw, writer.scope, flow, after.width)
        forms = ["base({x})", "base({x}) * base.weight.sum()"]
    writer.bind(draw, str(pick(draw, *forms)).format(x=writer.main), after)
