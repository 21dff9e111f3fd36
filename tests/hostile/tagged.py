"""A plugin: a layer that has a text."""

from __future__ import annotations

from torch import Tensor, nn

from compiler.plugins import layer


@layer
class Tagged(nn.Module):
    """Passes on what comes in."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x
