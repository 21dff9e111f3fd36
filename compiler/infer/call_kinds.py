"""What each call of a program is one of: the source says it once, so that it is the same in every run of a line."""

from __future__ import annotations

import ast
from typing import Literal

from spec_schema.diagnostics import refuse
from spec_schema.grammar import Source

CallOf = Literal["number", "operation", "layer", "block"]
"""A function of numbers, an operation, a layer, or a layer that is a block."""

_CALLED: dict[CallOf, str] = {
    "number": "a function of numbers",
    "operation": "an operation on tensors",
    "layer": "a layer",
    "block": "a layer",
}


class CallKinds(dict[int, CallOf]):
    """What each `ast` node that calls was a call of, by its identity."""

    def note(self, source: Source, node: ast.Call, kind: CallOf) -> None:
        """Note what a call is one of. A layer that is a block in one run is one in all.

        Raises:
            SpecError: it was one of something else before.
        """
        before = self.setdefault(id(node), kind)
        if before == kind:
            return
        if {before, kind} == {"block", "layer"}:
            self[id(node)] = "block"
            return
        called = ast.unparse(node.func)
        message = f"`{called}` is {_CALLED[kind]} here, and {_CALLED[before]} where this runs otherwise"
        help = "write one call for each of them, with names that differ"
        raise refuse("not-callable", message, source.span(node.func), help=help)
