"""What each call of a program is one of: the source says it once, so that it is the same in every run of a line."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from spec_schema.diagnostics import refuse
from spec_schema.grammar import Source


@dataclass(frozen=True)
class PartOf:
    """A layer inside a layer, which programs call otherwise than by its key."""

    key: str


MemberOf = Literal["part", "parameter", "buffer", "state_inside"] | PartOf
CallOf = Literal["number", "operation", "stacking", "layer", "block", "state"] | MemberOf
"""A function of numbers, an operation, one of einops over a list of tensors, a layer, or a layer that is a block.

An attribute is a layer inside a layer, a parameter or a buffer of it. `state` is no call, but a read of a buffer
that a program updates, whose value has to stay as it is; `state_inside` that of a layer inside a layer.
"""

_CALLED: dict[CallOf, str] = {
    "number": "a function of numbers",
    "operation": "an operation on tensors",
    "stacking": "an operation on a list of tensors",
    "layer": "a layer",
    "block": "a layer",
    "state": "a buffer",
    "part": "a layer",
    "parameter": "a parameter",
    "buffer": "a buffer",
    "state_inside": "a buffer",
}


class CallKinds(dict[int, CallOf]):
    """What each `ast` node that calls was a call of, by its identity."""

    def note_state(self, node: ast.expr) -> None:
        """Note that the value of a node is that of a buffer which may get another one, or a part of it."""
        self[id(node)] = "state"

    def note(self, source: Source, node: ast.Call | ast.Attribute, kind: CallOf) -> None:
        """Note what a call or an attribute is one of. A layer that is a block in one run is one in all.

        Raises:
            SpecError: it was one of something else before.
        """
        before = self.setdefault(id(node), kind)
        either = of_either(before, kind)
        if either is None:
            written = node.func if isinstance(node, ast.Call) else node
            called = ast.unparse(written)
            message = f"`{called}` is {_called(kind)} here, and {_called(before)} where this runs otherwise"
            help = "write one for each of them, with names that differ"
            raise refuse("not-callable", message, source.span(written), help=help)
        self[id(node)] = either


def _called(kind: CallOf) -> str:
    return f"the layer `{kind.key}`" if isinstance(kind, PartOf) else _CALLED[kind]


def of_either(one: CallOf, other: CallOf) -> CallOf | None:
    """Return what a call is one of that was this and that, None if no call can be both."""
    if one == other:
        return one
    return "block" if {one, other} == {"block", "layer"} else None
