"""The steps that an evaluation may take."""

from __future__ import annotations

import ast
from functools import partial

from spec_schema.clock import check_time
from spec_schema.diagnostics import refuse
from spec_schema.grammar import Source

LOOKED_AFTER = 64
"""Steps between two looks at the clock, which take longer than a step."""


class Budget:
    """Counts the steps of one evaluation, so that none goes on for ever."""

    def __init__(self, steps: int) -> None:
        self.total = steps
        self.left = steps

    def spend(self, source: Source, node: ast.AST) -> None:
        self.left -= 1
        if self.left % LOOKED_AFTER == 0:
            check_time(partial(source.span, node))
        if self.left < 0:
            raise refuse(
                "too-many-steps",
                f"this takes more than {self.total:,} steps",
                source.span(node),
                help="a compile-time loop is bounded: make it shorter",
            )
