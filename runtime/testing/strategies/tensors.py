"""What is known, while a model is drawn, of the value that flows: its layout, its width and its size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

Draw = st.DrawFn

ROWS, STEPS, IMAGE, FEATURES = "rows", "steps", "image", "features"
"""[batch, F], [batch, T, F], [batch, C, S, S]; and [..., F], inside a block that is used for rows and steps."""


@dataclass(frozen=True)
class Width:
    """The number of features or channels: an expression, or the mark of a number that only the compiler knows."""

    text: str
    even: bool = False

    @property
    def known(self) -> bool:
        return not self.text.startswith("?")


@dataclass(frozen=True)
class Flow:
    """The value that flows. `size` is the number of steps or the side of the image, 0 where it is not known."""

    layout: str
    width: Width
    size: int = 0

    @property
    def axis(self) -> int:
        """The dimension of the width."""
        return 1 if self.layout == IMAGE else -1

    @property
    def family(self) -> str:
        """The layout of blocks that serve for this value, where they care for the last dimension only."""
        return IMAGE if self.layout == IMAGE else FEATURES

    def wide(self, width: Width) -> Flow:
        return replace(self, width=width)

    def __str__(self) -> str:
        sizes = {ROWS: "batch", STEPS: f"batch, {self.size}", IMAGE: "batch"}[self.layout]
        sides = f", {self.size}, {self.size}" if self.layout == IMAGE else ""
        return f"[{sizes}, {self.width.text}{sides}]"


def rarely(draw: Draw, one_in: int = 5) -> bool:
    """Draw True about once in so many times; False is the simpler one."""
    return draw(st.integers(1, one_in)) == one_in


def pick(draw: Draw, *choices: Any) -> Any:
    """Draw one of the choices; the first is the simplest."""
    return draw(st.sampled_from(choices))
