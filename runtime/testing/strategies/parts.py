"""Parts of specs, to build specs around: layers, programs, and blocks with a call of them.

Each takes an input of one of three layouts, `rows`, `steps` and `image`, whose types `INPUTS` has.
"""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import strategies as st

from runtime.testing.strategies.blocks import new_block
from runtime.testing.strategies.draft import Draft, Scope
from runtime.testing.strategies.layers import Node
from runtime.testing.strategies.nodes import block_call, node
from runtime.testing.strategies.programs import forward_body
from runtime.testing.strategies.tensors import IMAGE, ROWS, STEPS, Draw, Flow, Width

Layout = Literal["rows", "steps", "image"]
INPUTS: dict[str, str] = {
    ROWS: "float[batch, 4]",
    STEPS: "float[batch, 3, 4]",
    IMAGE: "float[batch, 4, 4, 4]",
}
"""The type of the input that a part takes."""


@st.composite
def layers(draw: Draw, layout: Layout = "rows", keep: bool = False) -> Node:
    """Draw a layer or an operation, or a short list of them; with `keep` one that leaves the shape as it is."""
    return node(draw, Scope(Draft(new_block)), _flow(layout), 0, keep)[0]


@st.composite
def programs(draw: Draw, layout: Layout = "rows") -> dict[str, Any]:
    """Draw the body of a block with a program and the layers that it calls; it leaves the shape as it is."""
    return forward_body(draw, Scope(Draft(new_block)), _flow(layout), 0, None)[0]


@st.composite
def blocks(draw: Draw, layout: Layout = "rows", depth: int = 1) -> tuple[dict[str, Any], str]:
    """Draw definitions of blocks, as they stand in `blocks:`, and a call of one of them.

    At most `depth` blocks nest inside one another.
    """
    draft, flow = Draft(new_block), _flow(layout)
    contract = new_block(draw, draft, flow.family, depth)
    called, _ = block_call(draw, Scope(draft), flow, contract)
    return draft.blocks, str(called)


def _flow(layout: str) -> Flow:
    return Flow(layout, Width("4", even=True), {ROWS: 0, STEPS: 3, IMAGE: 4}[layout])
