"""What a layer in a row is made with: a list of layers holds layers, and a layer may be a list."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Protocol

from compiler.emit.choose import Case
from compiler.infer.states import State
from compiler.program import LayerNode

Pairs = list[tuple[Case, State]]
"""What one node made, in each instance."""


class LayerEmitter(Protocol):
    """Emits single layers."""

    def emit(self, node: LayerNode, pairs: Pairs) -> ast.expr:
        """Return the expression that makes the layer of a node, in every instance."""

    def place(self, node: LayerNode, pairs: Pairs, put: Callable[[ast.expr], ast.stmt]) -> None:
        """Write the statements that make a layer; `put` says what becomes of it."""
