"""The conditions that a run decides by numbers, noted so that other sizes can be tried for the other branch."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

Key = tuple[tuple[str, ...], int, int]
"""The layers that are being called, the `ast` node, and how often it was reached before."""

MOST = 64
"""Of one node in one call: a loop that asks more often asks the same."""


@dataclass(frozen=True)
class Decided:
    """The truth of a condition; `difference` is that of the two numbers which it compares, if it does."""

    truth: bool
    difference: float | None


@dataclass(eq=False)
class Conditions:
    """What one run decided by numbers."""

    found: dict[Key, Decided] = field(default_factory=dict)
    reached: Counter[tuple[tuple[str, ...], int]] = field(default_factory=Counter)

    def note(self, path: tuple[str, ...], node: ast.AST, truth: bool, difference: float | None) -> None:
        """Note a condition of the program of the innermost layer in `path`."""
        times = self.reached[path, id(node)]
        if times < MOST:
            self.found[(path, id(node), times)] = Decided(truth, difference)
            self.reached[path, id(node)] += 1


def difference(operands: Sequence[object]) -> float | None:
    """Return the difference of two numbers, None for other operands."""
    numbers = [float(value) for value in operands if isinstance(value, int | float)]
    return numbers[0] - numbers[1] if len(numbers) == len(operands) == 2 else None
